//! What engines in other processes could say: Redis, NATS, and whoever writes under their prefix.

/// What other nodes, JetStream and keys of Redis have: whatever is understood means these bytes.
pub fn engine(bytes: &[u8]) {
    for said in wsh_server::said(bytes) {
        let is_part = said.form == "publication";
        let is_same = bytes.ends_with(&said.bytes) && (is_part || bytes.len() == said.bytes.len());
        assert!(is_same, "{} became {:?}", said.form, said.bytes);
    }
    wsh_server::kept(bytes);
}
