#!/bin/sh
# In the place of your client: it comes back until it is let in, says hello, and wants a welcome.
until answer=$(echo '{"type":"hello"}' | wsh-server connect "$SERVER/shop"); do
    sleep 0.2
done
[ "$answer" = '{"type":"welcome"}' ]
