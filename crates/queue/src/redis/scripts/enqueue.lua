-- ARGV: time, payload, delay, deduplication key if there is one.
local payload, delay, key = ARGV[2], tonumber(ARGV[3]), ARGV[4]
if key and redis.call('HEXISTS', T .. ':keys', key) == 1 then return 0 end
add(payload, key, after(delay))
return 1
