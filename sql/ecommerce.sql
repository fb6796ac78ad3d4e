-- Generated from the pipeline file; do not edit. Sluice's own schema is in 001_sluice.sql.

CREATE TABLE "transactions" (
	"transaction_id" VARCHAR(36) NOT NULL,
	"product_id" VARCHAR(100),
	"product_name" VARCHAR(255),
	"product_category" VARCHAR(100) NOT NULL,
	"product_price" DECIMAL(10,2),
	"product_quantity" INTEGER,
	"product_brand" VARCHAR(100),
	"total_amount" DECIMAL(10,2) NOT NULL,
	"currency" VARCHAR(3),
	"customer_id" VARCHAR(255),
	"transaction_date" TIMESTAMP NOT NULL,
	"payment_method" VARCHAR(50),
	"created_at" TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
	PRIMARY KEY ("transaction_id")
);
CREATE INDEX "idx_transactions_category" ON "transactions" ("product_category");
CREATE INDEX "idx_transactions_date" ON "transactions" ("transaction_date");

CREATE TABLE "sales_per_category" (
	"transaction_date" DATE NOT NULL,
	"category" VARCHAR(100) NOT NULL,
	"total_sales" DECIMAL(15,2) NOT NULL,
	PRIMARY KEY ("transaction_date", "category")
) WITH (fillfactor = 50);

CREATE TABLE "sales_per_day" (
	"transaction_date" DATE NOT NULL,
	"total_sales" DECIMAL(15,2) NOT NULL,
	PRIMARY KEY ("transaction_date")
) WITH (fillfactor = 50);

CREATE TABLE "sales_per_month" (
	"year" INTEGER NOT NULL,
	"month" INTEGER NOT NULL,
	"total_sales" DECIMAL(15,2) NOT NULL,
	PRIMARY KEY ("year", "month")
) WITH (fillfactor = 50);

CREATE TABLE "dead_letters" (
	"job" TEXT NOT NULL,
	"topic" TEXT NOT NULL,
	"partition" INTEGER NOT NULL,
	"offset" BIGINT NOT NULL,
	"key" BYTEA,
	"payload" BYTEA,
	"payload_raw" BOOLEAN NOT NULL,
	"reason" TEXT NOT NULL,
	"detail" TEXT,
	"sink" TEXT NOT NULL,
	"epoch" TEXT NOT NULL,
	"created_at" TIMESTAMPTZ NOT NULL DEFAULT now(),
	PRIMARY KEY ("job", "topic", "partition", "offset", "sink")
);
