//! What an instance's user data says of the cluster it is to join, in the three forms that EKS's machine images read: nodeadm's
//! configuration (Amazon Linux 2023), the arguments of `bootstrap.sh` (Amazon Linux 2), and Bottlerocket's settings.
//!
//! Only the one line that matters is read, each form by its own mark; of anything else nothing is made.

use identity::ClusterName;

/// The name, if all that say one say the same.
pub(super) fn cluster_name(user_data: &str) -> Option<ClusterName> {
    let forms = [of_nodeadm(user_data), of_bootstrap_script(user_data), of_bottlerocket(user_data)];
    let mut names = forms.into_iter().flatten();
    let name = names.next()?;
    names.all(|other| other == name).then_some(name)
}

/// `spec.cluster.name` of a `NodeConfig`, which may be one part of several; of several, nodeadm takes the last.
fn of_nodeadm(user_data: &str) -> Option<ClusterName> {
    if !user_data.contains("node.eks.aws/") {
        return None;
    }
    let mut name = None;
    // How far the line `cluster:` is indented while its members are read, and they.
    let (mut cluster, mut members) = (None, None);
    for line in user_data.lines().filter(|line| !line.trim().is_empty()) {
        let (indent, text) = (line.len() - line.trim_start().len(), line.trim());
        match cluster {
            Some(of) if indent > of => {
                if indent == *members.get_or_insert(indent)
                    && let Some(value) = text.strip_prefix("name:")
                {
                    name = unquoted(value).parse().ok().or(name);
                }
            }
            _ => (cluster, members) = ((text == "cluster:").then_some(indent), None),
        }
    }
    name
}

/// The first argument that is no flag. One that the shell would make something of is no name.
fn of_bootstrap_script(user_data: &str) -> Option<ClusterName> {
    const SCRIPT: &str = "/etc/eks/bootstrap.sh";
    let line = user_data.lines().find(|line| line.contains(SCRIPT) && !line.trim_start().starts_with('#'))?;
    let arguments = line.split_once(SCRIPT)?.1;
    unquoted(arguments.split_whitespace().next()?).parse().ok()
}

/// `cluster-name` of the table `settings.kubernetes`.
fn of_bottlerocket(user_data: &str) -> Option<ClusterName> {
    let mut lines = user_data.lines().map(str::trim);
    lines.find(|line| *line == "[settings.kubernetes]")?;
    lines.take_while(|line| !line.starts_with('[')).find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (unquoted(key) == "cluster-name").then(|| unquoted(value).parse().ok())?
    })
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(user_data: &str) -> Option<String> {
        cluster_name(user_data).map(|name| name.to_string())
    }

    const NODEADM: &str = "\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=\"//\"

--//
Content-Type: application/node.eks.aws

---
apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    apiServerEndpoint: https://example.test
    certificateAuthority: Y2VydGlmaWNhdGU=

    cidr: 10.100.0.0/16
    name: prod-1
  kubelet:
    flags:
      - --node-labels=name: other
--//--
";

    #[test]
    fn each_form_of_eks_images_is_understood() {
        let bottlerocket = "[settings.kubernetes]\napi-server = \"https://x\"\n\"cluster-name\" = 'prod-1'\n";
        for user_data in [
            NODEADM,
            &NODEADM.replace("prod-1", "\"prod-1\""),
            "#!/bin/bash\n# /etc/eks/bootstrap.sh other\nset -ex\n/etc/eks/bootstrap.sh prod-1 --kubelet-extra-args '--x'\n",
            "#!/bin/bash\nB64=x /etc/eks/bootstrap.sh 'prod-1' --b64-cluster-ca $B64",
            bottlerocket,
        ] {
            assert_eq!(read(user_data).as_deref(), Some("prod-1"), "{user_data}");
        }
    }

    #[test]
    fn of_several_configurations_the_last_name_counts() {
        let second = NODEADM.replace("prod-1", "prod-2");
        assert_eq!(read(&format!("{NODEADM}{second}")).as_deref(), Some("prod-2"));
        let without = "---\napiVersion: node.eks.aws/v1alpha1\nspec:\n  cluster:\n    cidr: 10.0.0.0/16\n";
        assert_eq!(read(&format!("{NODEADM}{without}")).as_deref(), Some("prod-1"));
    }

    #[test]
    fn what_is_not_said_plainly_is_not_guessed() {
        for user_data in [
            "",
            "name: prod-1",
            "cluster:\n  name: prod-1\n",
            "/etc/eks/bootstrap.sh \"$CLUSTER\" --flag",
            "/etc/eks/bootstrap.sh --apiserver-endpoint x",
            "/etc/eks/bootstrap.sh",
            "[settings.kubernetes]\n[settings.host]\ncluster-name = \"prod-1\"",
            "cluster-name = \"prod-1\"",
            &NODEADM.replace("    name: prod-1", "    details:\n      name: prod-1"),
            &NODEADM.replace("prod-1", "no name"),
            &format!("{NODEADM}/etc/eks/bootstrap.sh other\n"),
        ] {
            assert_eq!(read(user_data), None, "{user_data}");
        }
    }
}
