-- Before every script. KEYS[1]: the tag of the installation, `{prefix}`; every key begins with it. Times, versions and tokens
-- stay text, as the program wrote them; a missing one is the empty text. A place is a session's or a delivery's rank in an
-- order, padded so that texts compare as the numbers do.
--
--   :s:BOT               hash of a session: j record, v version, f fencing token, o owner and u end of the lease (runs ahead
--                        of the record when renewed), x stop requested, s state, t tenant, p platform, q place, c time and
--                        place of creation, i idempotency key, d deduplication key, m meeting key,
--                        h whether it has a place
--   :list:STATE:TENANT   sessions of a tenant by creation, in all states if STATE is empty
--   :at:due, :at:lease, :at:deadline, :at:retire   sessions by the time they are looked for at
--   :count               state to number of sessions
--   :taken, :held        tenant to places taken, and to sessions that wait in line; none is zero
--   :line:TENANT         sessions that wait in line by padded time of creation and id
--   :idempotency:TENANT, :deduplication:TENANT     key to bot
--   :transcripts, :remotes   transcript and, after the length of its source, id elsewhere to bot; :transcripts:BOT and
--                        :remotes:BOT those of a bot
--   :outbox, :job        ids of jobs by their time, and id to job
--   :d:ID                hash of a delivery: b bot, m place, t tenant, a address, e event, s status, n next attempt,
--                        f failures, l attempts, c padded time of making, g endpoint
--   :ledger:BOT          deliveries by place, and :pending:BOT those that are pending, by the time of the next attempt
--   :deliveries:TENANT   deliveries by time of making and id
--   :hooks               bots by the time of their next delivery
--   :endpoints           endpoint to tenant, and :endpoints:TENANT endpoint to its version and record
--   :i:KEY               hash of a webhook that came in: t tenant, s source, o outcome, c place, j entry
--   :inbox:TENANT        webhooks that came in by place, which is padded time and key; :received all of them by time
--   :inbox_count:TENANT  outcome and source to number of webhooks
--   :log:BOT:KIND        lines, :logged:BOT what identifies them, :kinds:BOT the kinds there are
--   :keys, :keys:order   API keys by their hash, and in order of their making
--   :lead:NAME            hash of a lead: o owner, u end
--   :workers, :draining   workers to what they say of themselves, and those that are to take no more bots
--   :documents           name of a document to its version and body
--   :seq:NAME            the last number given to a session, job or delivery
local T = KEYS[1]
local position = 0
local function take()
  position = position + 1
  return ARGV[position]
end

-- A server that is full refuses a script whose first write may add something, and lets one go on that has written: so begins what
-- keeps calls going, ends them, or makes room.
local function even_if_full() redis.call('UNLINK', T .. ':never') end

local function session_key(bot) return T .. ':s:' .. bot end

local function list(state, tenant) return T .. ':list:' .. state .. ':' .. tenant end

-- The first of the next numbers: the time in microseconds, or one more than the last. Numbers that the server gave and
-- forgot (it failed over, or lost power) are known elsewhere, and are so not given again.
local time
local function numbers(name, count)
  local last = T .. ':seq:' .. name
  time = time or redis.call('TIME')
  local first = math.max(time[1] * 1000000 + time[2], (redis.call('GET', last) or 0) + 1)
  redis.call('SET', last, string.format('%.0f', first + count - 1))
  return first
end

local function padded(number) return string.format('%016.0f', number) end

local function later(a, b) return tonumber(a) >= tonumber(b) and a or b end

local function index(set, at, member)
  if at == '' then redis.call('ZREM', set, member) else redis.call('ZADD', set, at, member) end
end

local function line(tenant) return T .. ':line:' .. tenant end

-- `created` is the time and place of creation.
local function place_in_line(bot, created) return string.sub(created, 1, 16) .. ':' .. bot end

-- Adds to a number that is never less than zero, and not there if it is.
local function add(counts, tenant, change)
  if change == 0 then return end
  if redis.call('HINCRBY', T .. counts, tenant, change) <= 0 then redis.call('HDEL', T .. counts, tenant) end
end

-- Takes what a write does to the places of a tenant, the limit, and whether the session has a place and waits in line then.
local function take_place() return { change = take(), limit = take(), has = take(), waits = take() } end

-- How many places are taken, if that is why this one is not to be had.
local function full(place, tenant)
  if place.change ~= 'take' or place.limit == '' then return nil end
  local taken = redis.call('HGET', T .. ':taken', tenant) or '0'
  return tonumber(taken) >= tonumber(place.limit) and taken
end

local function write_place(place, bot, tenant, created)
  redis.call('HSET', session_key(bot), 'h', place.has)
  add(':taken', tenant, place.change == 'take' and 1 or place.change == 'free' and -1 or 0)
  if place.waits == '1' then
    add(':held', tenant, redis.call('ZADD', line(tenant), 0, place_in_line(bot, created)))
  else
    add(':held', tenant, -redis.call('ZREM', line(tenant), place_in_line(bot, created)))
  end
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

-- What a delivery is read back from.
local function delivery(id)
  return { tonumber(id), redis.call('HMGET', T .. ':d:' .. id, 't', 'a', 'e', 's', 'n', 'f', 'l', 'g', 'c') }
end

local function forget_delivery(bot, place)
  local id = string.sub(place, 22)
  local known = redis.call('HMGET', T .. ':d:' .. id, 't', 'c')
  if known[2] then redis.call('ZREM', T .. ':deliveries:' .. known[1], known[2] .. ':' .. id) end
  redis.call('DEL', T .. ':d:' .. id)
  redis.call('ZREM', T .. ':ledger:' .. bot, place)
end

-- Takes how many deliveries there are, and if there are any their time, the same padded, and of each event: padded sequence,
-- event, and after their number its addresses, each with its endpoint.
local function write_deliveries(bot, tenant)
  local left = tonumber(take())
  if left == 0 then return end
  local at, made, number = take(), take(), numbers('delivery', left)
  while left > 0 do
    local sequence, event = take(), take()
    for _ = 1, tonumber(take()) do
      local address, endpoint, id = take(), take(), padded(number)
      local place = sequence .. ':' .. id
      redis.call('HSET', T .. ':d:' .. id, 'b', bot, 'm', place, 't', tenant, 'a', address, 'e', event, 's', 'pending',
        'n', at, 'f', 0, 'l', '[]', 'c', made, 'g', endpoint)
      redis.call('ZADD', T .. ':ledger:' .. bot, 0, place)
      redis.call('ZADD', T .. ':deliveries:' .. tenant, 0, made .. ':' .. id)
      redis.call('ZADD', T .. ':pending:' .. bot, at, place)
      number, left = number + 1, left - 1
    end
  end
  -- They may be due before what is pending, and make nothing of it later.
  redis.call('ZADD', T .. ':hooks', 'LT', at, bot)
end

-- Takes what a bot is known by elsewhere, after its number. It stays that of the first bot that had it.
local function bind(name, bot)
  for _ = 1, tonumber(take()) do
    local alias = take()
    if redis.call('HSETNX', T .. name, alias, bot) == 1 then redis.call('SADD', T .. name .. ':' .. bot, alias) end
  end
end

-- Takes what belongs to the same write: transcripts, ids elsewhere, deliveries and jobs (time, job), jobs after their number.
local function write_consequences(bot, tenant)
  bind(':transcripts', bot)
  bind(':remotes', bot)
  write_deliveries(bot, tenant)
  local jobs = tonumber(take())
  if jobs == 0 then return end
  local number = numbers('job', jobs)
  for _ = 1, jobs do
    local due, job, id = take(), take(), padded(number)
    redis.call('ZADD', T .. ':outbox', due, id)
    redis.call('HSET', T .. ':job', id, job)
    number = number + 1
  end
end

-- Takes whether a webhook came in, and if so key, tenant, source, outcome, time, the same padded, and the entry.
local function take_inbox()
  if take() == '0' then return nil end
  local key, tenant, source, outcome, at, padded_at, entry = take(), take(), take(), take(), take(), take(), take()
  return { key = key, tenant = tenant, source = source, outcome = outcome, at = at, place = padded_at .. ':' .. key,
    entry = entry }
end

local function is_taken(inbox) return inbox and redis.call('EXISTS', T .. ':i:' .. inbox.key) == 1 end

local function keep(inbox)
  if not inbox then return end
  redis.call('HSET', T .. ':i:' .. inbox.key, 't', inbox.tenant, 's', inbox.source, 'o', inbox.outcome, 'c', inbox.place,
    'j', inbox.entry)
  redis.call('ZADD', T .. ':inbox:' .. inbox.tenant, 0, inbox.place)
  redis.call('ZADD', T .. ':received', inbox.at, inbox.key)
  redis.call('HINCRBY', T .. ':inbox_count:' .. inbox.tenant, inbox.outcome .. ':' .. inbox.source, 1)
end
