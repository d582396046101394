-- ARGV: time, payload, delay, deduplication key if there is one.
local payload, delay, key = ARGV[2], tonumber(ARGV[3]), ARGV[4]
local holder = key and redis.call('HGET', T .. ':keys', key)
-- Somebody may have removed the message by hand; then its key keeps nobody out.
if holder and redis.call('EXISTS', message(holder)) == 1 then return 0 end
add(payload, key, after(delay))
return 1
