//! What runs in Redis, each atomic. The bounds of each handler are kept there as well, so that all
//! servers together keep to them.
//!
//! | key | what |
//! |---|---|
//! | `v:STORE`, `k:STORE` | a store: a hash of values, and its keys in order |
//! | `due` | keys by the time at which they go |
//! | `q`, `b` | for each queue whoever was the first to put into it, and its bytes |
//! | `e:QUEUE`, `r:QUEUE`, `l:QUEUE` | entries by number, the numbers that can be taken, leases |
//! | `run` | leases by the time at which they run out |
//! | `acc` | for each handler its keys, bytes and queues |
//! | `size`, `last` | keys and entries of all, and the last number |
//!
//! A value is kept as `TIME LENGTH PAYERVALUE`, an entry as `LENGTH PAYERVALUE`.

use crate::redis::Script;

/// What all of them begin with: names, and what they have in common.
macro_rules! script {
    ($text:literal) => {
        concat!(
            "
local P, node, channel = KEYS[1], ARGV[1], ARGV[2]
local D, A, S = P .. 'due', P .. 'acc', P .. 'size'
local function call(name, key, ...)
    local answer = redis.pcall(name, key, ...)
    if type(answer) == 'table' and answer.err then error(key .. ': ' .. answer.err) end
    return answer
end
local function tell(what) call('PUBLISH', channel, node .. what) end
local function pay(payer, what, by)
    if by == 0 then return end
    if call('HINCRBY', A, what .. payer, by) <= 0 then call('HDEL', A, what .. payer) end
end
local function held(payer, what) return tonumber(call('HGET', A, what .. payer) or '0') end
local function count(what, by) call('HINCRBY', S, what, by) end
local function answer(...)
    local sizes = call('HMGET', S, 'keys', 'entries')
    return {sizes[1] or '0', sizes[2] or '0', ...}
end
local function owned(text, at, what)
    local length, from = string.match(text or '', '^(%d+) ()', at)
    if not length then error(what .. ': no wsh-server has written this') end
    local value = from + tonumber(length)
    if value > #text + 1 then error(what .. ': no wsh-server has written all of this') end
    return string.sub(text, from, value - 1), string.sub(text, value)
end
local function kept(raw, what)
    local time, at = string.match(raw, '^(%d+) ()')
    if not time then time, at = string.match(raw, '^(%-) ()') end
    local payer, value = owned(time and raw, at, what)
    return time, payer, value
end
local function remove(store, key, time, payer, value)
    call('HDEL', P .. 'v:' .. store, key)
    call('ZREM', P .. 'k:' .. store, key)
    if time ~= '-' then call('ZREM', D, store .. '\\n' .. key) end
    pay(payer, 'k', -1)
    pay(payer, 'b', -(#key + #value + 64))
    count('keys', -1)
end
local function close(queue)
    if call('EXISTS', P .. 'e:' .. queue) == 1 then return end
    local owner = call('HGET', P .. 'q', queue)
    if owner then pay(owner, 'q', -1) end
    call('HDEL', P .. 'q', queue)
    call('HDEL', P .. 'b', queue)
end
local function over(queue, number, payer, value)
    call('HDEL', P .. 'e:' .. queue, number)
    call('HINCRBY', P .. 'b', queue, -#value)
    pay(payer, 'b', -(#value + 64))
    count('entries', -1)
    close(queue)
    tell('e' .. queue)
end
local function release(queue, lease)
    local number = call('HGET', P .. 'l:' .. queue, lease)
    if not number then return false end
    call('HDEL', P .. 'l:' .. queue, lease)
    call('ZREM', P .. 'run', queue .. '\\n' .. lease)
    call('ZADD', P .. 'r:' .. queue, number, number)
    tell('f' .. queue)
    return true
end
local function enter(queue, number, payer, value)
    if call('HSETNX', P .. 'q', queue, payer) == 1 then pay(payer, 'q', 1) end
    call('HSET', P .. 'e:' .. queue, number, #payer .. ' ' .. payer .. value)
    call('ZADD', P .. 'r:' .. queue, number, number)
    call('HINCRBY', P .. 'b', queue, #value)
    pay(payer, 'b', #value + 64)
    count('entries', 1)
    tell('f' .. queue)
end
",
            $text
        )
    };
}

/// Changes a value.
const CHANGE: &str = script!(
    "
local store, key, payer, now, op = ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6]), ARGV[7]
local value, time, is_if, seen, has_value = ARGV[8], ARGV[9], ARGV[10] == '1', ARGV[11], ARGV[12] == '1'
local V, K = P .. 'v:' .. store, P .. 'k:' .. store
local raw = call('HGET', V, key)
local known, before_time, before_payer, before = false, '-', nil, nil
if raw then
    before_time, before_payer, before = kept(raw, V .. ' ' .. key)
    known = before_time == '-' or tonumber(before_time) > now
    if not known then
        remove(store, key, before_time, before_payer, before)
        before_time = '-'
    end
end
local done, outcome = '1', 'put'
if op == 'set' then
    if is_if and known then done, outcome = '0', 'same' end
elseif op == 'add' then
    call('SET', P .. 'n', known and before or '0')
    local sum = redis.pcall('INCRBY', P .. 'n', value)
    local is_sum = type(sum) == 'number'
    if is_sum then value = call('GET', P .. 'n') end
    call('DEL', P .. 'n')
    if not is_sum then
        return answer(string.find(sum.err, 'overflow') and 'overflow' or 'number')
    end
    done, time = value, before_time
elseif op == 'delete' then
    if known then outcome = 'gone' else done, outcome = '0', 'same' end
elseif op == 'expire' then
    if known then value = before else done, outcome = '0', 'same' end
elseif is_if ~= known or known and seen ~= before then
    done, outcome = '0', 'same'
elseif has_value then
    time = before_time
elseif known then
    outcome = 'gone'
else
    outcome = 'same'
end
if outcome == 'put' then
    local bytes = #key + #value + 64
    local grown = bytes
    local is_same = known and before_payer == payer
    if is_same then grown = bytes - (#key + #before + 64) end
    if grown > 0 and held(payer, 'b') + grown > tonumber(ARGV[14]) then return answer('room') end
    if not is_same and held(payer, 'k') >= tonumber(ARGV[13]) then return answer('keys') end
    if known then
        pay(before_payer, 'k', -1)
        pay(before_payer, 'b', -(#key + #before + 64))
        if before_time ~= '-' then call('ZREM', D, store .. '\\n' .. key) end
    else
        count('keys', 1)
        call('ZADD', K, 0, key)
    end
    pay(payer, 'k', 1)
    pay(payer, 'b', bytes)
    if time ~= '-' then call('ZADD', D, time, store .. '\\n' .. key) end
    call('HSET', V, key, time .. ' ' .. #payer .. ' ' .. payer .. value)
elseif outcome == 'gone' then
    remove(store, key, before_time, before_payer, before)
end
if outcome ~= 'same' then tell('k' .. store .. '\\n' .. key) end
return answer('', done, outcome)
"
);

/// The keys of a store, in order.
const KEYS: &str = script!(
    "
local store, prefix, most, now = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local from, keys = '[' .. prefix, {}
while #keys < most do
    local some = call('ZRANGEBYLEX', P .. 'k:' .. store, from, '+', 'LIMIT', 0, 256)
    if #some == 0 then break end
    local values = call('HMGET', P .. 'v:' .. store, unpack(some))
    for at, key in ipairs(some) do
        if string.sub(key, 1, #prefix) ~= prefix or #keys == most then return keys end
        local time = string.match(values[at] or '', '^(%S+) ')
        if time == '-' or (tonumber(time) or 0) > now then keys[#keys + 1] = key end
    end
    from = '(' .. some[#some]
end
return keys
"
);

/// The stores and queues in whose name a text is found. There may be much else in the database, of
/// which so much is looked at and no more.
const NAMES: &str = script!(
    "
local find, most = ARGV[3], tonumber(ARGV[4])
local like = string.gsub(P .. 'k:', '[%*%?%[%]%^%\\\\]', '\\\\%0') .. '*'
local names, known, cursor, rounds = {'all'}, {}, '0', 0
repeat
    local some = redis.call('SCAN', cursor, 'MATCH', like, 'COUNT', 500)
    cursor, rounds = some[1], rounds + 1
    for _, key in ipairs(some[2]) do
        local name = string.sub(key, #P + 3)
        if not known[name] and string.find(name, find, 1, true) and #names < 3 * 10 * most then
            known[name] = true
            local count = string.format('%d', call('ZCARD', key))
            for _, part in ipairs({'store', name, count}) do names[#names + 1] = part end
        end
    end
until cursor == '0' or rounds == 40
if cursor ~= '0' then names[1] = 'some' end
local queues = 0
for _, name in ipairs(call('HKEYS', P .. 'q')) do
    if queues <= most and string.find(name, find, 1, true) then
        queues = queues + 1
        local count = string.format('%d', call('ZCARD', P .. 'r:' .. name))
        for _, part in ipairs({'queue', name, count}) do names[#names + 1] = part end
    end
end
return names
"
);

/// Adds an entry.
const PUT: &str = script!(
    "
local queue, value, payer = ARGV[3], ARGV[4], ARGV[5]
local E = P .. 'e:' .. queue
if call('HEXISTS', P .. 'q', queue) == 0 and held(payer, 'q') >= tonumber(ARGV[9]) then
    return answer('queues')
end
local bytes = tonumber(call('HGET', P .. 'b', queue) or '0')
if call('HLEN', E) >= tonumber(ARGV[6]) or bytes + #value > tonumber(ARGV[7]) then
    return answer('', '0')
end
if held(payer, 'b') + #value + 64 > tonumber(ARGV[8]) then return answer('room') end
enter(queue, call('INCR', P .. 'last'), payer, value)
return answer('', '1')
"
);

/// Takes the first entry.
const TAKE: &str = script!(
    "
local queue, time = ARGV[3], ARGV[4]
local first = call('ZPOPMIN', P .. 'r:' .. queue)
local number = first[1]
if not number then return answer('', '0') end
local payer, value = owned(call('HGET', P .. 'e:' .. queue, number), 1, P .. 'e:' .. queue)
if time == '-' then
    over(queue, number, payer, value)
    return answer('', '1', number, payer, value, '-')
end
local lease = string.format('%.0f', call('INCR', P .. 'last'))
call('HSET', P .. 'l:' .. queue, lease, number)
call('ZADD', P .. 'run', time, queue .. '\\n' .. lease)
return answer('', '1', number, payer, value, lease)
"
);

/// Ends a lease for good.
const DONE: &str = script!(
    "
local queue, lease = ARGV[3], ARGV[4]
local number = call('HGET', P .. 'l:' .. queue, lease)
if not number then return answer('', '0') end
call('HDEL', P .. 'l:' .. queue, lease)
call('ZREM', P .. 'run', queue .. '\\n' .. lease)
local payer, value = owned(call('HGET', P .. 'e:' .. queue, number), 1, P .. 'e:' .. queue)
over(queue, number, payer, value)
return answer('', '1')
"
);

/// Puts an entry back to its place that nobody has got.
const BACK: &str = script!(
    "
local queue, lease = ARGV[3], ARGV[4]
if lease ~= '-' then
    if release(queue, lease) then return answer('', '1') end
    return answer('', '0')
end
enter(queue, ARGV[5], ARGV[6], ARGV[7])
return answer('', '1')
"
);

/// Takes away what has run out: keys, and queues with an entry again.
const SWEEP: &str = script!(
    "
local now, most = ARGV[3], tonumber(ARGV[4])
local time, told = redis.call('TIME'), {}
for _, at in ipairs(call('ZRANGEBYSCORE', D, '-inf', now, 'LIMIT', 0, most)) do
    local store, key = string.match(at, '^(.-)\\n(.*)$')
    local is_ours, time, payer, value = pcall(function()
        return kept(call('HGET', P .. 'v:' .. store, key) or '', at)
    end)
    if is_ours then
        remove(store, key, time, payer, value)
        tell('k' .. at)
        told[#told + 1] = 'k' .. at
    else
        call('ZREM', D, at)
    end
end
for _, at in ipairs(call('ZRANGEBYSCORE', P .. 'run', '-inf', now, 'LIMIT', 0, most)) do
    local queue, lease = string.match(at, '^(.-)\\n(.*)$')
    local is_ours, released = pcall(release, queue, lease)
    if is_ours and released then told[#told + 1] = 'f' .. queue end
    call('ZREM', P .. 'run', at)
end
return answer('', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)), unpack(told))
"
);

/// All of them.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// Change a value.
    pub change: Script,
    /// List keys.
    pub keys: Script,
    /// Name stores and queues.
    pub names: Script,
    /// Add an entry.
    pub put: Script,
    /// Take one.
    pub take: Script,
    /// End a lease.
    pub done: Script,
    /// Put an entry back.
    pub back: Script,
    /// Take away what has run out.
    pub sweep: Script,
}

impl Scripts {
    /// As they are made known to the server.
    pub fn new() -> Self {
        Self {
            change: Script::new(CHANGE),
            keys: Script::new(KEYS),
            names: Script::new(NAMES),
            put: Script::new(PUT),
            take: Script::new(TAKE),
            done: Script::new(DONE),
            back: Script::new(BACK),
            sweep: Script::new(SWEEP),
        }
    }

    /// A list of them.
    pub fn all(&self) -> Vec<Script> {
        let all = [
            &self.change,
            &self.keys,
            &self.names,
            &self.put,
            &self.take,
            &self.done,
            &self.back,
            &self.sweep,
        ];
        all.into_iter().cloned().collect()
    }
}
