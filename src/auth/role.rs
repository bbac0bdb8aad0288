//! Who may do what: the one place that decides it. HTTP and sockets ask here and say no in their own
//! words.

pub use crate::db::users::Role;

/// What is said to somebody known who may not do what they ask for.
pub const FORBIDDEN: &str = "You do not have permission to perform this action.";

impl Role {
    /// Whether they may add, change, remove and switch sources, and start pipeline steps. Everybody
    /// who is let in may read.
    pub fn may_edit(self) -> bool {
        match self {
            Self::Viewer => false,
            Self::Editor | Self::Admin => true,
        }
    }

    /// Whether they may see and change other people's accounts.
    pub fn may_manage_users(self) -> bool {
        match self {
            Self::Viewer | Self::Editor => false,
            Self::Admin => true,
        }
    }
}
