-- Makes what has become receivable visible to whoever waits, and to scalers that read the stream.
local moved = promote(1000)
if moved > 0 then ring() end
return moved
