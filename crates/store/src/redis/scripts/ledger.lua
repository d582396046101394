-- Takes a bot, whether only what is pending, and a limit. Answers deliveries by sequence.
local bot, pending, limit = take(), take() == '1', tonumber(take())
local places = redis.call('ZRANGE', T .. (pending and ':pending:' or ':ledger:') .. bot, 0, -1)
table.sort(places)
local found = {}
for i = 1, math.min(limit, #places) do found[i] = delivery(string.sub(places[i], 22)) end
return found
