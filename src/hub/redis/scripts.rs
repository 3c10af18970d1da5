//! What runs in Redis, each atomic: to publish to a topic that keeps messages, to read what it has
//! kept, and to know how many subscribe on other nodes.

use crate::redis::Script;

/// What all of them begin with: an error tells the key.
macro_rules! script {
    ($text:literal) => {
        concat!(
            "
local function call(name, key, ...)
    local answer = redis.pcall(name, key, ...)
    if type(answer) == 'table' and answer.err then error(key .. ': ' .. answer.err) end
    return answer
end
local function begin_anew()
    local kind = redis.call('TYPE', KEYS[2]).ok
    if kind ~= 'stream' and kind ~= 'none' then
        error(KEYS[2] .. ': no wsh-server has written this')
    end
    call('DEL', KEYS[1], KEYS[2])
end
",
            $text
        )
    };
}

/// Numbers and keeps a message, and sends it to all nodes. The topic's life and last number (`e`,
/// `n`) can be evicted without the messages, or these without those: numbers that begin anew have
/// another life, and nothing is left of the former one.
const PUBLISH: &str = script!(
    "
local epoch = call('HGET', KEYS[1], 'e')
if not epoch then
    begin_anew()
    epoch = ARGV[2]
    call('HSET', KEYS[1], 'e', epoch)
end
local number = call('HINCRBY', KEYS[1], 'n', 1)
local id = string.format('%.0f', number)
local added = redis.pcall('XADD', KEYS[2], 'MAXLEN', ARGV[3], id, 'b', ARGV[7])
if type(added) == 'table' and added.err then
    if not string.find(added.err, 'equal or smaller') then error(KEYS[2] .. ': ' .. added.err) end
    call('DEL', KEYS[2])
    epoch = ARGV[2]
    id = '1'
    call('HSET', KEYS[1], 'e', epoch, 'n', id)
    call('XADD', KEYS[2], 'MAXLEN', ARGV[3], id, 'b', ARGV[7])
end
call('EXPIRE', KEYS[1], ARGV[5])
call('EXPIRE', KEYS[2], ARGV[4])
local place = epoch .. '.' .. id
call('PUBLISH', ARGV[1], ARGV[6] .. place .. ' ' .. ARGV[7])
return place
"
);

/// A portion of what a topic keeps, behind a number. One beyond the last, in the same life, is of
/// messages that Redis has lost: another life begins.
const READ: &str = script!(
    "
local epoch = call('HGET', KEYS[1], 'e')
local last = tonumber(call('HGET', KEYS[1], 'n') or '0')
if not epoch or (epoch == ARGV[2] and last < tonumber(ARGV[1])) then
    begin_anew()
    epoch, last = ARGV[3], 0
    call('HSET', KEYS[1], 'e', epoch, 'n', 0)
end
call('EXPIRE', KEYS[1], ARGV[6])
local most, room, from, count = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[1], 1
local messages, bytes, is_end = {}, 0, 1
while is_end == 1 do
    local some = call('XRANGE', KEYS[2], '(' .. from, '+', 'COUNT', count)
    if #some == 0 then break end
    for _, entry in ipairs(some) do
        from = entry[1]
        local body = entry[2][2] or ''
        messages[#messages + 1] = string.match(from, '^%d+')
        messages[#messages + 1] = body
        bytes = bytes + #body
    end
    if #messages >= 2 * most or bytes >= room then is_end = 0 end
    count = bytes * 2 < 4096 * #messages and 16 or 1
end
return {epoch, string.format('%.0f', last), is_end, messages}
"
);

/// This node lives: for so many seconds from now on what it says counts. Gives whether its counts
/// are there, whether it was known to live, and all that do.
const ALIVE: &str = script!(
    "
local now = tonumber(redis.call('TIME')[1])
call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local known = call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
local counts = call('EXPIRE', KEYS[2], ARGV[2])
return {counts, known, call('ZRANGE', KEYS[1], 0, -1)}
"
);

/// How many subscribe to a topic on all other nodes that live.
const COUNT: &str = script!(
    "
local now = redis.call('TIME')[1]
local sum = 0
for _, node in ipairs(call('ZRANGEBYSCORE', KEYS[1], now, '+inf')) do
    if node ~= ARGV[1] then
        sum = sum + (tonumber(call('HGET', ARGV[2] .. node, ARGV[3]) or '0') or 0)
    end
end
return sum
"
);

/// Keeps how a key is in a topic on this node, or that it is not, and tells all nodes. Whoever
/// reports lives.
const REPORT: &str = script!(
    "
local now = tonumber(redis.call('TIME')[1])
call('ZADD', KEYS[1], now + tonumber(ARGV[2]), ARGV[1])
if ARGV[4] == '' then
    call('HDEL', KEYS[2], ARGV[1] .. ARGV[3])
else
    call('HSET', KEYS[2], ARGV[1] .. ARGV[3], ARGV[4])
    call('EXPIRE', KEYS[2], ARGV[5])
end
call('PUBLISH', ARGV[6], ARGV[7])
return 1
"
);

/// Who is in a topic on all other nodes that live: node and key, and how it is there. What nodes
/// have left that do not is tidied up.
const PEOPLE: &str = script!(
    "
local now = redis.call('TIME')[1]
local lives = {}
for _, node in ipairs(call('ZRANGEBYSCORE', KEYS[1], now, '+inf')) do
    lives[node] = true
end
local all, people = call('HGETALL', KEYS[2]), {}
for at = 1, #all, 2 do
    local node = string.sub(all[at], 1, 16)
    if not lives[node] then
        call('HDEL', KEYS[2], all[at])
    elseif node ~= ARGV[1] then
        people[#people + 1] = all[at]
        people[#people + 1] = all[at + 1]
    end
end
return people
"
);

/// All of them.
#[derive(Debug, Clone)]
pub struct Scripts {
    /// Publish to a topic that keeps messages.
    pub publish: Script,
    /// Read what it keeps.
    pub read: Script,
    /// This node lives.
    pub alive: Script,
    /// Count subscribers elsewhere.
    pub count: Script,
    /// Report how a key is here.
    pub report: Script,
    /// Read who is elsewhere.
    pub people: Script,
}

impl Scripts {
    /// As they are made known to the server.
    pub fn new() -> Self {
        Self {
            publish: Script::new(PUBLISH),
            read: Script::new(READ),
            alive: Script::new(ALIVE),
            count: Script::new(COUNT),
            report: Script::new(REPORT),
            people: Script::new(PEOPLE),
        }
    }

    /// A list of them.
    pub fn all(&self) -> Vec<Script> {
        let Self {
            publish,
            read,
            alive,
            count,
            report,
            people,
        } = self.clone();
        vec![publish, read, alive, count, report, people]
    }
}
