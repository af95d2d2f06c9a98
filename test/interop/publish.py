"""Publishes to the exchange of a bus. Each line of standard input is one message, as JSON:

    echo '{"topic": "orders.created", "body": {"id": 7}}' | python3 publish.py events

"body" is sent as JSON; "base64" instead of it as bytes, as they are. "properties" are those of pika.BasicProperties, such
as content_type, message_id, timestamp or headers: none of them is needed.
"""

import base64
import json
import os
import sys

import pika

exchange = sys.argv[1]
connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # basic_publish returns when the broker is responsible for the message

count = 0
for line in sys.stdin:
    message = json.loads(line)
    if "base64" in message:
        body = base64.b64decode(message["base64"])
    else:
        body = json.dumps(message["body"], ensure_ascii=False).encode("utf-8")
    properties = pika.BasicProperties(**message.get("properties", {}))
    # mandatory: raises UnroutableError when no group is bound
    channel.basic_publish(exchange, message["topic"], body, properties, mandatory=True)
    count += 1

connection.close()
print(f"published {count}")
