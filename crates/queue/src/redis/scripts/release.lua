-- ARGV: time, id, token, delay.
local id = ARGV[2]
if not held(id, ARGV[3]) then return 0 end
end_lease(id, 'released', now)
if put(id, after(tonumber(ARGV[4]))) then ring() end
return 1
