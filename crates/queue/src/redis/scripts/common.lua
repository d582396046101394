-- Before every script. KEYS[1]: the tag of the topic, `{prefix:topic}`; every key of the topic begins with it, so that all
-- of them are in one slot of a cluster. ARGV[1]: the time in tests, or nothing: then it is the server's.
--
--   :seq      number of the last message
--   :m:ID     hash of a message: p payload, k deduplication key, r receives, l name of the last lease, s its start,
--             h how the leases before it ended
--   :ready    stream of what can be received: id, at (since when)
--   :delayed  what becomes ready, by its time
--   :leases   what is leased, by the end of the lease
--   :keys     deduplication key to id
--   :dead     stream of dead letters
--   :bell     stream of one entry; a new one says that something has become receivable where nothing was, or will sooner
--
-- Whoever waits has seen the stream of what can be received empty, and is told when it no longer is. What is added after
-- that tells nobody: those who were told take it, or look again before they wait.
local T = KEYS[1]
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number) return string.format('%.0f', number) end

-- Never early: the clock counts whole milliseconds, so its last one is not over yet.
local function after(pause)
  if pause > 0 then pause = pause + 1 end
  return now + pause
end

local function message(id) return T .. ':m:' .. id end

local function ring() redis.call('XADD', T .. ':bell', 'MAXLEN', 1, '*', 'b', '') end

-- Whether something can be received; looked at once, as long as nothing is taken.
local has_ready
local function is_empty()
  if has_ready == nil then has_ready = redis.call('XLEN', T .. ':ready') > 0 end
  return not has_ready
end

local function make_ready(id, at)
  redis.call('XADD', T .. ':ready', '*', 'id', id, 'at', text(at))
  has_ready = true
end

-- Receivable at this time. Answers whether that is to be told.
local function put(id, at)
  if at > now then
    redis.call('ZADD', T .. ':delayed', text(at), id)
    return true
  end
  local news = is_empty()
  make_ready(id, at)
  return news
end

-- Answers its id, and whether that is to be told.
local function add(payload, key, at)
  local id = text(redis.call('INCR', T .. ':seq'))
  if key then
    redis.call('HSET', message(id), 'p', payload, 'r', 0, 'l', '', 'k', key)
    redis.call('HSET', T .. ':keys', key, id)
  else
    redis.call('HSET', message(id), 'p', payload, 'r', 0, 'l', '')
  end
  return id, put(id, at)
end

-- The end of the lease that a receipt is for, as long as it holds, and the deduplication key.
local function held(id, token)
  local ends = redis.call('ZSCORE', T .. ':leases', id)
  if not ends or tonumber(ends) <= now then return nil end
  local known = redis.call('HMGET', message(id), 'l', 'k')
  if known[1] ~= token then return nil end
  return tonumber(ends), known[2]
end

-- Ends a lease, and notes how: the newest few kilobytes of that are kept.
local function end_lease(id, how, at)
  redis.call('ZREM', T .. ':leases', id)
  local known = redis.call('HMGET', message(id), 's', 'h')
  local line = '{"from":' .. (known[1] or '0') .. ',"to":' .. text(at) .. ',"end":"' .. how .. '"}'
  local history = known[2] and (known[2] .. ',' .. line) or line
  while #history > 4096 do history = string.gsub(history, '^{[^}]*},', '', 1) end
  redis.call('HSET', message(id), 'h', history)
end

local function remove(id, key)
  if key then redis.call('HDEL', T .. ':keys', key) end
  redis.call('DEL', message(id))
end

-- Moves what has become receivable into the stream, at most `max` of each kind; answers how many.
local function promote(max)
  local due = redis.call('ZRANGEBYSCORE', T .. ':delayed', '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, max)
  for i = 1, #due, 2 do
    redis.call('ZREM', T .. ':delayed', due[i])
    make_ready(due[i], tonumber(due[i + 1]))
  end
  local over = redis.call('ZRANGEBYSCORE', T .. ':leases', '-inf', text(now), 'WITHSCORES', 'LIMIT', 0, max)
  for i = 1, #over, 2 do
    end_lease(over[i], 'expired', tonumber(over[i + 1]))
    make_ready(over[i], tonumber(over[i + 1]))
  end
  return (#due + #over) / 2
end

-- The time of the first of a sorted set.
local function first(set)
  local found = redis.call('ZRANGE', T .. set, 0, 0, 'WITHSCORES')
  return tonumber(found[2])
end
