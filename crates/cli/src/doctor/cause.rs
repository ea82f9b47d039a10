//! The closed list of what doctor can find. Ids are stable: scripts and docs/doctor.md name them.

use serde::{Deserialize, Serialize};

/// Where a cause belongs: the headings of a report, in the order in which a request passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Theme {
    /// The node's link, addresses and routes.
    Node,
    /// What stands in front of the agent's addresses.
    Firewall,
    /// The agent and its listeners.
    Agent,
    /// What the agent itself signs with.
    OwnCredentials,
    /// The service, and the way there.
    EksAuth,
    /// The cluster's API server.
    ApiServer,
    /// The keys that sign tokens.
    SigningKeys,
    /// One process of a pod.
    Pod,
}

impl Theme {
    /// The heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Firewall => "firewall",
            Self::Agent => "agent",
            Self::OwnCredentials => "the agent's own credentials",
            Self::EksAuth => "EKS Auth",
            Self::ApiServer => "API server",
            Self::SigningKeys => "signing keys",
            Self::Pod => "pod",
        }
    }
}

macro_rules! causes {
    ($($name:ident $id:literal $theme:ident $why:literal;)+) => {
        /// What was found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub(crate) enum Cause {
            $(#[doc = $why] #[serde(rename = $id)] $name,)+
        }

        impl Cause {
            /// All of them, in the order of a report.
            #[cfg(test)]
            pub(crate) const ALL: [Self; [$($id),+].len()] = [$(Self::$name),+];

            /// Its stable name.
            pub(crate) fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// Its heading.
            pub(crate) fn theme(self) -> Theme {
                match self { $(Self::$name => Theme::$theme,)+ }
            }

            /// Why it matters.
            pub(crate) fn why(self) -> &'static str {
                match self { $(Self::$name => $why,)+ }
            }
        }
    };
}

causes! {
    Link "link" Node "pods reach the agent by addresses of this link";
    LinkMissing "link-missing" Node "without the link the node does not have the agent's addresses, so no pod reaches it";
    LinkDown "link-down" Node "a link that is down has no routes, so pods' packets leave the node or are dropped";
    AddressMissing "address-missing" Node "the agent cannot listen on an address that the node does not have";
    RouteMissing "route-missing" Node "without the host route another route may win and lead pods away from the agent";
    AddressElsewhere "address-elsewhere" Node "initialize does not go on while another link has the address, and whoever put it there may take it away";
    RouteElsewhere "route-elsewhere" Node "what is sent to the agent's address may leave by that link, and initialize does not go on";
    Ipv6Off "ipv6-off" Node "without IPv6 only pods that ask over IPv4 are served";
    LinkForeignAddress "link-foreign-address" Node "a foreign address on the agent's link attracts somebody else's traffic";
    LinkUnknown "link-unknown" Node "nothing can be said about the node's side";

    Firewall "firewall" Firewall "a rule in front of the address decides before the agent does";
    TrafficRedirected "traffic-redirected" Firewall "requests for credentials, with the pods' tokens in them, go to somebody else than the agent";
    TrafficDropped "traffic-dropped" Firewall "pods' packets never arrive: SDKs wait until they give up";
    FirewallUnknown "firewall-unknown" Firewall "a rule in front of the address would not be noticed";

    AgentProcess "agent-process" Agent "its flags and environment say where it listens and how it reaches AWS";
    AgentProcessUnknown "agent-process-unknown" Agent "what depends on the agent's own flags and environment was looked at with those of this command";
    AgentProcessHidden "agent-process-hidden" Agent "its flags and environment decide how it reaches AWS";
    AgentSettings "agent-settings" Agent "the agent does not start with these settings, and goes back to them at its next restart";
    Endpoint "endpoint" Agent "this is where pods ask";
    AgentNotRunning "agent-not-running" Agent "no pod of this node gets credentials";
    AgentNotListening "agent-not-listening" Agent "pods that ask this address are refused";
    PortTaken "port-taken" Agent "pods send their tokens to a server that is not the agent, and get no credentials";
    AgentSilent "agent-silent" Agent "SDKs wait until they give up";
    AgentUnreachable "agent-unreachable" Agent "pods that ask this address get nothing";
    AgentBusy "agent-busy" Agent "pods are told to come back later";
    Probes "probes" Agent "kubelet restarts an agent whose probes fail";
    ProbesUnreachable "probes-unreachable" Agent "kubelet restarts an agent whose probes do not answer";
    AgentNotReady "agent-not-ready" Agent "it does not serve on all its addresses";
    AgentHttpProxy "agent-http-proxy" Agent "AWS's agent asks its own address through the proxy, so that its probes fail and kubelet restarts it";

    OwnCredentials "own-credentials" OwnCredentials "calls to EKS Auth are signed with them";
    OwnCredentialsMissing "own-credentials-missing" OwnCredentials "without credentials of its own the agent cannot call EKS Auth for anybody";
    OwnCredentialsRefused "own-credentials-refused" OwnCredentials "EKS Auth answers nobody who signs with these";
    OwnCredentialsUnchecked "own-credentials-unchecked" OwnCredentials "doctor runs no program and reads no further file for another process";

    EksAuth "eks-auth" EksAuth "it exchanges tokens for credentials";
    EksAuthMisconfigured "eks-auth-misconfigured" EksAuth "the agent does not know whom to call";
    EksAuthProxy "eks-auth-proxy" EksAuth "the agent calls AWS through this proxy and nothing else";
    EksAuthDns "eks-auth-dns" EksAuth "the agent cannot find EKS Auth";
    EksAuthUnreachable "eks-auth-unreachable" EksAuth "no pod gets new credentials; those that the agent has serve until they expire";
    EksAuthTls "eks-auth-tls" EksAuth "the agent does not talk to a server that it does not trust";
    EksAuthUnintelligible "eks-auth-unintelligible" EksAuth "somebody else than EKS Auth answers, a proxy or a portal perhaps";
    EksAuthUnavailable "eks-auth-unavailable" EksAuth "exchanges take longer or fail until it is over";
    EksAuthNotAllowed "eks-auth-not-allowed" EksAuth "the node's role may not exchange tokens, so no pod of this node gets credentials";
    ClusterUnknown "cluster-unknown" EksAuth "a cluster that EKS Auth does not know has no associations";
    ClusterNameUnknown "cluster-name-unknown" EksAuth "the agent does not start without the name of its cluster";
    Clock "clock" EksAuth "signatures and tokens hold for a time";
    ClockSkew "clock-skew" EksAuth "AWS refuses signatures that are 5 minutes off, and tokens count as expired or not yet valid";

    ApiServer "api-server" ApiServer "the agent asks it for signing keys, and for the pods of the node";
    ApiServerFiles "api-server-files" ApiServer "without them the agent cannot ask the API server: tokens are checked by EKS Auth alone, and sessions of pods that are gone are renewed";
    ApiServerUnreachable "api-server-unreachable" ApiServer "the agent has no current signing keys and does not hear of pods that end";
    ApiServerForbidden "api-server-forbidden" ApiServer "the agent goes on without what it may not read";
    ApiServerRefused "api-server-refused" ApiServer "the agent goes on without what it does not get";

    SigningKeys "signing-keys" SigningKeys "a rotated token of a pod costs no call where the node can verify it";
    SigningKeysMissing "signing-keys-missing" SigningKeys "tokens cannot be verified on the node: every new one costs a call, and fails while EKS Auth is away";
    SigningKeysStale "signing-keys-stale" SigningKeys "a token that is signed with a newer key is not recognised, and from their greatest age on the keys are not used at all";
    MetricsUnreachable "metrics-unreachable" SigningKeys "the age of the signing keys is not known";

    Pod "pod" Pod "this is what the SDK in it sees";
    PodHidden "pod-hidden" Pod "the environment of the process decides which credentials its SDK takes";
    PodNotMutated "pod-not-mutated" Pod "the SDK does not know of Pod Identity and takes whatever else it finds, the node's role perhaps";
    PodRelativeUri "pod-relative-uri" Pod "SDKs look at this variable first and never ask the agent";
    PodWrongUri "pod-wrong-uri" Pod "the SDK asks somebody else, or refuses the address";
    PodStaticKeys "pod-static-keys" Pod "every SDK takes keys of the environment before it asks for the pod's role";
    PodProfile "pod-profile" Pod "SDKs take what this profile says before they ask for the pod's role, and most fail if there is no such profile";
    PodWebIdentity "pod-web-identity" Pod "SDKs take the role of the web identity token (IRSA) before they ask for the pod's role";
    PodTokenVariable "pod-token-variable" Pod "the SDK asks the agent without a token and is refused";
    PodTokenMissing "pod-token-missing" Pod "the SDK has no token to send";
    PodTokenUnreadable "pod-token-unreadable" Pod "the SDK may not open the file, and has no token to send";
    PodTokenEmpty "pod-token-empty" Pod "the agent refuses an empty token";
    PodTokenNewline "pod-token-newline" Pod "nearly every SDK refuses to send a token with a line end, before it asks";
    PodTokenMalformed "pod-token-malformed" Pod "the agent refuses what is no service account token";
    PodTokenExpired "pod-token-expired" Pod "EKS Auth gives nothing for a token whose time is over";
    PodTokenEarly "pod-token-early" Pod "EKS Auth gives nothing for a token whose time has not come";
    PodTokenAudience "pod-token-audience" Pod "EKS Auth takes only tokens that are made for it";
    PodProxy "pod-proxy" Pod "SDKs that honour the proxy send the token there, and a proxy cannot reach the node's own address";
    PodUnreachable "pod-unreachable" Pod "the SDK in this pod gets no answer";
    PodNoAssociation "pod-no-association" Pod "there is no role for this service account";
    PodRoleDenied "pod-role-denied" Pod "EKS may not assume the association's role";
    PodRefused "pod-refused" Pod "the SDK in this pod gets this answer in place of credentials";
    CheckTimedOut "check-timed-out" Pod "what was not looked at in time is not known";
}

impl Cause {
    /// The causes of which this one is only a consequence: when one of them is found, this is not told.
    pub(crate) fn explained_by(self) -> &'static [Self] {
        use Cause::*;
        match self {
            LinkDown => &[LinkMissing],
            AddressMissing => &[LinkMissing, LinkDown],
            // The route goes with the address that it names as its source.
            RouteMissing => &[LinkMissing, LinkDown, AddressMissing],
            // Without the node's side, its pod does not get beyond initialize.
            AgentNotRunning => &[
                LinkMissing,
                LinkDown,
                AddressMissing,
                AddressElsewhere,
                RouteElsewhere,
                Ipv6Off,
                PortTaken,
                AgentSettings,
            ],
            PortTaken => &[TrafficRedirected],
            AgentNotListening => &[
                LinkMissing,
                LinkDown,
                AddressMissing,
                RouteElsewhere,
                Ipv6Off,
                TrafficRedirected,
                TrafficDropped,
                AgentNotRunning,
                PortTaken,
            ],
            AgentSilent | AgentUnreachable => &[
                LinkMissing,
                LinkDown,
                AddressMissing,
                RouteMissing,
                RouteElsewhere,
                AddressElsewhere,
                Ipv6Off,
                TrafficRedirected,
                TrafficDropped,
                AgentNotRunning,
            ],
            ProbesUnreachable => &[AgentNotRunning],
            AgentNotReady => &[
                LinkMissing,
                LinkDown,
                AddressMissing,
                RouteMissing,
                RouteElsewhere,
                TrafficRedirected,
                TrafficDropped,
                PortTaken,
                AgentNotListening,
                AgentSilent,
                AgentUnreachable,
            ],
            OwnCredentialsRefused => &[ClockSkew],
            EksAuthTls => &[ClockSkew],
            SigningKeysMissing | SigningKeysStale => {
                &[ApiServerFiles, ApiServerUnreachable, ApiServerForbidden, ApiServerRefused]
            }
            MetricsUnreachable => &[AgentNotRunning],
            PodUnreachable => &[
                LinkMissing,
                LinkDown,
                AddressMissing,
                RouteElsewhere,
                TrafficRedirected,
                TrafficDropped,
                AgentNotRunning,
                PortTaken,
                AgentNotListening,
                AgentSilent,
                AgentUnreachable,
                AgentBusy,
            ],
            PodRefused => &[
                TrafficRedirected,
                PortTaken,
                AgentBusy,
                OwnCredentialsMissing,
                OwnCredentialsRefused,
                EksAuthMisconfigured,
                EksAuthProxy,
                EksAuthDns,
                EksAuthUnreachable,
                EksAuthTls,
                EksAuthUnintelligible,
                EksAuthUnavailable,
                EksAuthNotAllowed,
                ClockSkew,
            ],
            PodTokenExpired | PodTokenEarly => &[ClockSkew],
            PodRoleDenied => &[EksAuthNotAllowed],
            _ => &[],
        }
    }
}
