-- Answers ready, leased, delayed, dead, and the age of the oldest ready message in milliseconds.
local function count(set, from, to) return redis.call('ZCOUNT', T .. set, from, to) end
local past, future = text(now), '(' .. text(now)
local head = redis.call('XRANGE', T .. ':ready', '-', '+', 'COUNT', 1)[1]
local since = math.min(head and tonumber(head[2][4]) or now, first(':delayed') or now, first(':leases') or now)
return {
  redis.call('XLEN', T .. ':ready') + count(':delayed', '-inf', past) + count(':leases', '-inf', past),
  count(':leases', future, '+inf'),
  count(':delayed', future, '+inf'),
  redis.call('XLEN', T .. ':dead'),
  math.max(0, now - since),
}
