-- Takes the name of a time, now, limit. Answers records, oldest first.
local name, now, limit = take(), take(), take()
local records = {}
for _, place in ipairs(redis.call('ZRANGEBYSCORE', T .. ':at:' .. name, '-inf', now, 'LIMIT', 0, limit)) do
  records[#records + 1] = record(string.sub(place, 18))
end
return records
