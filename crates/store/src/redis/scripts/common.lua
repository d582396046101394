-- Before every script. KEYS[1]: the tag of the installation, `{prefix}`; every key begins with it. Times, versions and tokens
-- stay text, as the program wrote them; a missing one is the empty text. A place is a session's or a delivery's rank in an
-- order, padded so that texts compare as the numbers do.
--
--   :s:BOT               hash of a session: j record, v version, f fencing token, o owner and u end of the lease (runs ahead
--                        of the record when renewed), x stop requested, s state, t tenant, p platform, q place, c time and
--                        place of creation, i idempotency key, d deduplication key, m meeting key
--   :list:STATE:TENANT   sessions of a tenant by creation, in all states if STATE is empty
--   :at:due, :at:lease, :at:deadline, :at:retire   sessions by the time they are looked for at
--   :count               state to number of sessions
--   :idempotency:TENANT, :deduplication:TENANT     key to bot
--   :transcripts         transcript to bot, and :transcripts:BOT its transcripts
--   :outbox, :job        ids of jobs by their time, and id to job
--   :d:ID                hash of a delivery: b bot, m place, t tenant, a address, e event, s status, n next attempt,
--                        f failures, l attempts
--   :ledger:BOT          deliveries by place, and :pending:BOT those that are pending, by the time of the next attempt
--   :hooks               bots by the time of their next delivery
--   :log:BOT:KIND        lines, :logged:BOT what identifies them, :kinds:BOT the kinds there are
--   :keys, :keys:order   API keys by their hash, and in order of their making
--   :lead:NAME            hash of a lead: o owner, u end
--   :workers, :draining   workers to what they say of themselves, and those that are to take no more bots
--   :seq:NAME            the last number given to a session, job or delivery
local T = KEYS[1]
local position = 0
local function take()
  position = position + 1
  return ARGV[position]
end

local function session_key(bot) return T .. ':s:' .. bot end

local function list(state, tenant) return T .. ':list:' .. state .. ':' .. tenant end

-- The next number, padded: the time in microseconds, or one more than the last. Numbers that the server gave and forgot (it
-- failed over, or lost power) are known elsewhere, and are so not given again.
local function number(name)
  local last, time = T .. ':seq:' .. name, redis.call('TIME')
  local given = math.max(time[1] * 1000000 + time[2], (redis.call('GET', last) or 0) + 1)
  redis.call('SET', last, string.format('%.0f', given))
  return string.format('%016.0f', given)
end

local function later(a, b) return tonumber(a) >= tonumber(b) and a or b end

local function index(set, at, member)
  if at == '' then redis.call('ZREM', set, member) else redis.call('ZADD', set, at, member) end
end

-- What a session is read back from.
local function record(bot) return redis.call('HMGET', session_key(bot), 'j', 'v', 'u') end

-- Notes when the next attempt at a delivery is, if it is pending, and what that means for its bot.
local function schedule(bot, place, at)
  local pending = T .. ':pending:' .. bot
  index(pending, at, place)
  index(T .. ':hooks', redis.call('ZRANGE', pending, 0, 0, 'WITHSCORES')[2] or '', bot)
end

-- Takes version, state, fencing, owner, end of lease, stop, due, deadline, retirement and record, and writes them. `before`
-- is what was there: state and lease; or, for a session that was not there, in `new` the fields that never change. Answers
-- the end of the lease as it is written.
local function write_session(bot, tenant, place, created, before)
  local version, state, fencing, owner, ends = take(), take(), take(), take(), take()
  -- The lease may have been renewed since the record was read, which changes no version. The same lease keeps the longer
  -- time; another one, or none, is the caller's to decide.
  if owner ~= '' and before.owner == owner and before.fencing == fencing and before.ends ~= '' then
    ends = later(ends, before.ends)
  end
  local stop, due, deadline, retire, json = take(), take(), take(), take(), take()
  redis.call('HSET', session_key(bot), 'v', version, 's', state, 'f', fencing, 'o', owner, 'u', ends, 'x', stop, 'j', json,
    unpack(before.new or {}))
  if state ~= before.state then
    if before.state then
      redis.call('ZREM', list(before.state, tenant), created)
      redis.call('HINCRBY', T .. ':count', before.state, -1)
    end
    redis.call('ZADD', list(state, tenant), 0, created)
    redis.call('HINCRBY', T .. ':count', state, 1)
  end
  local function place_at(name, at)
    if at ~= '' or not before.new then index(T .. ':at:' .. name, at, place) end
  end
  place_at('lease', ends)
  place_at('due', due)
  place_at('deadline', deadline)
  place_at('retire', retire)
  return ends
end

-- Takes what belongs to the same write: transcripts, deliveries (padded sequence, address, event, first attempt) and jobs
-- (time, job), each after their number.
local function write_consequences(bot, tenant)
  for _ = 1, tonumber(take()) do
    local transcript = take()
    if redis.call('HSETNX', T .. ':transcripts', transcript, bot) == 1 then
      redis.call('SADD', T .. ':transcripts:' .. bot, transcript)
    end
  end
  for _ = 1, tonumber(take()) do
    local sequence, address, event, at = take(), take(), take(), take()
    local id = number('delivery')
    local place = sequence .. ':' .. id
    redis.call('HSET', T .. ':d:' .. id, 'b', bot, 'm', place, 't', tenant, 'a', address, 'e', event, 's', 'pending',
      'n', at, 'f', 0, 'l', '[]')
    redis.call('ZADD', T .. ':ledger:' .. bot, 0, place)
    schedule(bot, place, at)
  end
  for _ = 1, tonumber(take()) do
    local due, job = take(), take()
    local id = number('job')
    redis.call('ZADD', T .. ':outbox', due, id)
    redis.call('HSET', T .. ':job', id, job)
  end
end
