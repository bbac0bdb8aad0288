//! Who may use an endpoint or a socket.

use super::role::Role;

/// Who may use an endpoint or a socket, from everybody to the fewest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Everybody, without signing in.
    Public,
    /// Everybody with `ANONYMOUS=read`, otherwise every user.
    Reader,
    /// Every user.
    Viewer,
    /// Editors and admins.
    Editor,
    /// Admins.
    Admin,
    /// The addresses of `METRICS_ALLOW`, and clients that send `METRICS_TOKEN`.
    Operator,
}

impl Access {
    /// Whether a request needs no user.
    pub fn is_without_user(self) -> bool {
        matches!(self, Self::Public | Self::Operator)
    }

    /// Whether users of this role have it. [`Access::Operator`] does not depend on a role.
    pub fn admits(self, role: Role) -> bool {
        match self {
            Self::Public | Self::Reader | Self::Viewer | Self::Operator => true,
            Self::Editor => role.may_edit(),
            Self::Admin => role.may_manage_users(),
        }
    }
}
