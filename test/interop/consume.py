"""Receives events on a queue of its own, and prints each as one line of JSON:

    python3 consume.py events 'orders.*' 3

The arguments are the exchange, the pattern, and after how many events to end.
"""

import json
import os
import sys

import pika

exchange, pattern, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
# The exchange is there already, durable and without arguments; declare your queue and bind it.
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, exchange, pattern)
print("ready", flush=True)

seen = 0
for method, properties, body in channel.consume(queue):
    event = {
        "topic": method.routing_key,
        "payload": json.loads(body),
        "id": properties.message_id,
        "type": properties.type,
        "service": properties.app_id,
        "time": properties.timestamp,  # seconds
        "content_type": properties.content_type,
        "content_encoding": properties.content_encoding,
        "correlation_id": properties.correlation_id,
        "delivery_mode": properties.delivery_mode,
        "headers": properties.headers,
    }
    print(json.dumps(event), flush=True)
    channel.basic_ack(method.delivery_tag)
    seen += 1
    if seen == wanted:
        break

channel.cancel()
connection.close()
