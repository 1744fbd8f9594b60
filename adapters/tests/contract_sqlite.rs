//! The SQLite store obeys the laws of every storage port.
#![cfg(feature = "sqlite")]

mod sqlite_support;

use sqlite_support::{fresh, run};

transtalk_core::users_contract!(run, fresh);
transtalk_core::rooms_contract!(run, fresh);
transtalk_core::messages_contract!(run, fresh);
transtalk_core::sessions_contract!(run, fresh);
transtalk_core::single_use_contract!(run, fresh);
transtalk_core::audit_contract!(run, fresh);
transtalk_core::grants_contract!(run, fresh);
transtalk_core::cursors_contract!(run, fresh);
