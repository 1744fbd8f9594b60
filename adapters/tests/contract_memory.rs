//! The memory adapters obey every law of their ports.

use transtalk_adapters::memory::{MemoryBus, MemoryPresence, MemoryRateLimits, MemoryStore};
use transtalk_core::contract::run;

async fn fresh_store() -> Box<MemoryStore> {
    Box::new(MemoryStore::new())
}

async fn fresh_presence() -> Box<MemoryPresence> {
    Box::new(MemoryPresence::new())
}

async fn fresh_rate_limits() -> Box<MemoryRateLimits> {
    Box::new(MemoryRateLimits::new())
}

async fn fresh_bus() -> Box<MemoryBus> {
    Box::new(MemoryBus::new())
}

mod memory {
    use super::{fresh_bus, fresh_presence, fresh_rate_limits, fresh_store, run};

    transtalk_core::users_contract!(run, fresh_store);
    transtalk_core::rooms_contract!(run, fresh_store);
    transtalk_core::messages_contract!(run, fresh_store);
    transtalk_core::sessions_contract!(run, fresh_store);
    transtalk_core::single_use_contract!(run, fresh_store);
    transtalk_core::audit_contract!(run, fresh_store);
    transtalk_core::grants_contract!(run, fresh_store);
    transtalk_core::cursors_contract!(run, fresh_store);
    transtalk_core::presence_contract!(run, fresh_presence);
    transtalk_core::rate_limits_contract!(run, fresh_rate_limits);
    transtalk_core::bus_contract!(run, fresh_bus);
}
