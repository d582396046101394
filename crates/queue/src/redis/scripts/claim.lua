-- ARGV: time, most messages, lease, the name of these leases. Answers the messages, each (id, token, receives, ready since,
-- payload), and in how many milliseconds the next can be received: -1 if that is not known.
local max, ends, token = tonumber(ARGV[2]), after(tonumber(ARGV[3])), ARGV[4]
local promoted = promote(max)

-- Without a list of pending entries: who has what is in `:leases`, which knows leases of any length.
local function read()
  return redis.pcall('XREADGROUP', 'GROUP', 'workers', 'all', 'COUNT', max, 'NOACK', 'STREAMS', T .. ':ready', '>')
end

local found = read()
if found and found.err then
  -- The first claim ever, or somebody has emptied the server.
  redis.call('XGROUP', 'CREATE', T .. ':ready', 'workers', '0', 'MKSTREAM')
  found = read()
end
local taken, entries, leases = {}, {}, {}
for _, entry in ipairs(found and found[1] and found[1][2] or {}) do
  entries[#entries + 1] = entry[1]
  local id, at = entry[2][2], entry[2][4]
  local known = redis.call('HMGET', message(id), 'p', 'r')
  if known[1] then
    local receives = (tonumber(known[2]) or 0) + 1
    redis.call('HSET', message(id), 'r', receives, 'l', token, 's', text(now))
    leases[#leases + 1] = text(ends)
    leases[#leases + 1] = id
    taken[#taken + 1] = { id, token, receives, at, known[1] }
  end
end
if #entries > 0 then redis.call('XDEL', T .. ':ready', unpack(entries)) end
if promoted > 0 and redis.call('XLEN', T .. ':ready') > 0 then ring() end
if #taken > 0 then
  redis.call('ZADD', T .. ':leases', unpack(leases))
  return { taken, -1 }
end
-- Only remains of messages were there. Whoever waits has to have seen the stream empty, or nobody rings for it.
if #entries > 0 and redis.call('XLEN', T .. ':ready') > 0 then return { taken, 0 } end
local delayed, leased = first(':delayed'), first(':leases')
local soonest = math.min(delayed or math.huge, leased or math.huge)
if soonest == math.huge then return { taken, -1 } end
return { taken, math.max(0, soonest - now) }
