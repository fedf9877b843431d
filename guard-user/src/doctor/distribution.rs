//! How to give the kernel another `lsm=` list, by distribution.

use super::Machine;

/// What to type to boot with an `lsm=` list.
pub fn boot_with(machine: &Machine, list: &str) -> String {
    let release = machine.text("/etc/os-release").unwrap_or_default();
    let parameter = format!("lsm={list}");
    let is = |names: &[&str]| names.iter().any(|name| families(&release).contains(name));
    if is(&["nixos"]) {
        let quoted: Vec<_> = list.split(',').map(|name| format!("\"{name}\"")).collect();
        return format!(
            "In /etc/nixos/configuration.nix: security.lsm = lib.mkForce [ {} ];\n\
             sudo nixos-rebuild boot && sudo reboot",
            quoted.join(" ")
        );
    }
    if is(&["debian", "ubuntu"]) && machine.has("/etc/default/grub") {
        return format!(
            "sudo mkdir -p /etc/default/grub.d\n\
             echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {parameter}\"' | sudo tee \
             /etc/default/grub.d/60-guard.cfg\n\
             sudo update-grub && sudo reboot"
        );
    }
    if is(&["fedora", "rhel", "centos"]) {
        return format!("sudo grubby --update-kernel=ALL --args=\"{parameter}\"\nsudo reboot");
    }
    let grub = machine.has("/etc/default/grub");
    if is(&["suse", "opensuse"]) && grub {
        return format!(
            "In /etc/default/grub, add {parameter} to GRUB_CMDLINE_LINUX.\n\
             sudo grub2-mkconfig -o /boot/grub2/grub.cfg && sudo reboot"
        );
    }
    if is(&["arch"]) && grub {
        return format!(
            "In /etc/default/grub, add {parameter} to GRUB_CMDLINE_LINUX.\n\
             sudo grub-mkconfig -o /boot/grub/grub.cfg && sudo reboot"
        );
    }
    if machine.has("/boot/loader/entries") || machine.has("/efi/loader/entries") {
        return format!(
            "Add {parameter} to the line \"options\" of the entry in loader/entries/*.conf of the \
             boot partition (and to /etc/kernel/cmdline, if there is one).\nsudo reboot"
        );
    }
    if grub {
        return format!(
            "In /etc/default/grub, add {parameter} to GRUB_CMDLINE_LINUX, and make the boot \
             loader's configuration anew (update-grub or grub-mkconfig).\nsudo reboot"
        );
    }
    format!("Boot the kernel with the parameter {parameter}")
}

/// `ID` and `ID_LIKE` of os-release(5).
fn families(release: &str) -> Vec<&str> {
    release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .collect()
}
