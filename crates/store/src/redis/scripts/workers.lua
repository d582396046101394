-- Answers record and 1 if it is to take no more bots, of every worker by its id.
local ids = redis.call('HKEYS', T .. ':workers')
table.sort(ids)
local found = {}
for _, worker in ipairs(ids) do
  found[#found + 1] = {redis.call('HGET', T .. ':workers', worker), redis.call('SISMEMBER', T .. ':draining', worker)}
end
return found
