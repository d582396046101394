-- Takes tenant, limit. Answers records of those that wait in line, oldest first.
local tenant, limit = take(), take()
local records = {}
for _, place in ipairs(redis.call('ZRANGE', line(tenant), '-', '+', 'BYLEX', 'LIMIT', 0, limit)) do
  records[#records + 1] = record(string.sub(place, 18))
end
return records
