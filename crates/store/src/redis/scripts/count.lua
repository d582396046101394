-- Takes whether of a tenant, the tenant, and states. Answers of each how many.
local of_tenant, tenant = take(), take()
local counts = {}
while position < #ARGV do
  local state = take()
  local count = of_tenant == '1' and redis.call('ZCARD', list(state, tenant)) or redis.call('HGET', T .. ':count', state)
  counts[#counts + 1] = tonumber(count) or 0
end
return counts
