"""The warehouse: another service, in another language, on the same exchange. All that it needs is a client for RabbitMQ.

It gets `orders.placed` as plain JSON on a queue of its own, and publishes `orders.shipped`. Started by main.ts.
"""

import json
import os

import pika

EXCHANGE = "bookshop"
WEIGHTS = {"novel": 0.3, "atlas": 4.2}

connection = pika.BlockingConnection(pika.URLParameters(os.environ["EVENT_BUS_URL"]))
channel = connection.channel()
channel.confirm_delivery()  # publishing raises an error when the broker has not taken the message
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, EXCHANGE, "orders.placed")
print("ready", flush=True)


def ship(order, properties):
    # Python writes a number that is none as NaN, which is not JSON. See what becomes of it.
    weight = WEIGHTS.get(order["item"], float("nan"))
    channel.basic_publish(
        EXCHANGE,
        "orders.shipped",
        json.dumps({"order": order["id"], "kilos": weight * order["quantity"]}),
        # none of these is needed
        pika.BasicProperties(content_type="application/json", app_id="warehouse", correlation_id=properties.message_id),
    )


for method, properties, body in channel.consume(queue):
    order = json.loads(body)
    print(f"{method.routing_key} from {properties.app_id}: {order}", flush=True)
    ship(order, properties)
    channel.basic_ack(method.delivery_tag)
    if order["last"]:
        break

channel.cancel()
connection.close()
