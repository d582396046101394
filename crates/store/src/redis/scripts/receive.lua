-- Takes what came in. Answers whether its key was free.
local inbox = take_inbox()
if is_taken(inbox) then return 0 end
keep(inbox)
return 1
