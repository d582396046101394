-- Takes a bot. Jobs and pending deliveries stay: they were promised.
local bot = take()
local known = redis.call('HMGET', session_key(bot), 't', 's', 'q', 'c', 'i', 'd', 'h')
local tenant, state, place, created = known[1], known[2], known[3], known[4]
if not tenant then return 0 end
even_if_full()
write_place({ change = known[7] == '1' and 'free' or 'keep', has = '0', waits = '0' }, bot, tenant, created)
redis.call('DEL', session_key(bot))
redis.call('ZREM', list('', tenant), created)
redis.call('ZREM', list(state, tenant), created)
redis.call('HINCRBY', T .. ':count', state, -1)
for _, name in ipairs({ 'due', 'lease', 'deadline', 'retire' }) do redis.call('ZREM', T .. ':at:' .. name, place) end
if known[5] then redis.call('HDEL', T .. ':idempotency:' .. tenant, known[5]) end
if known[6] then redis.call('HDEL', T .. ':deduplication:' .. tenant, known[6]) end
for _, name in ipairs({ ':transcripts', ':remotes' }) do
  local own = T .. name .. ':' .. bot
  for _, alias in ipairs(redis.call('SMEMBERS', own)) do redis.call('HDEL', T .. name, alias) end
  redis.call('DEL', own)
end
for _, kind in ipairs(redis.call('SMEMBERS', T .. ':kinds:' .. bot)) do
  redis.call('DEL', T .. ':log:' .. bot .. ':' .. kind)
end
redis.call('DEL', T .. ':kinds:' .. bot, T .. ':logged:' .. bot)
for _, place in ipairs(redis.call('ZRANGE', T .. ':ledger:' .. bot, 0, -1)) do
  if not redis.call('ZSCORE', T .. ':pending:' .. bot, place) then forget_delivery(bot, place) end
end
return 1
