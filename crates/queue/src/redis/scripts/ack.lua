-- ARGV: time, id, token.
if not held(ARGV[2], ARGV[3]) then return 0 end
remove(ARGV[2])
return 1
