"""The services of the shop. Everything else that lists them is derived from it or checked against it."""

from sagakit.topology import ServiceDeclaration, Topology

TOPOLOGY = Topology(
    services=(
        ServiceDeclaration(
            "purchase",
            topic="com.example.purchase",
            subscribes_to=("stock", "payment", "delivery"),
            awaits=("stock", "delivery"),
            grpc_services=("com.example.service.purchase.Purchase",),
            expiring_kinds=("Cart",),
            backfill="services.purchase.backfill:TICKETS",
        ),
        ServiceDeclaration(
            "stock",
            topic="com.example.stock",
            subscribes_to=("purchase",),
            awaits=("purchase",),
            grpc_services=("com.example.service.stock.Stock",),
            ignores="services.stock.usecases:IGNORES",
        ),
        ServiceDeclaration(
            "payment",
            topic="com.example.payment",
            subscribes_to=("stock", "purchase"),
            awaits=("purchase",),
            grpc_services=("com.example.service.payment.Payment",),
            ignores="services.payment.usecases:IGNORES",
        ),
        ServiceDeclaration(
            "delivery",
            topic="com.example.delivery",
            subscribes_to=("purchase",),
            grpc_services=("com.example.service.delivery.Delivery",),
            ignores="services.delivery.usecases:IGNORES",
        ),
        # `sagactl new service` declares services here.
    ),
    dead_letter_topic="com.example.dead-letter",
    dead_letter_subscription="dead-letter",
)
