"""Runs one staged query on Spark in local mode; progress and outcome go to standard output, one JSON object a line.

Usage: spark_runner.py <folder>, with <folder>/job.json as written by spark.ts; the result goes to <folder>/output.
"""

import json
import sys
from pathlib import Path

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col
from pyspark.sql.types import _parse_datatype_string


class QueryError(Exception):
    """Something the query's authors have to correct."""


def say(**message):
    print(json.dumps(message), flush=True)


def session() -> SparkSession:
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def schema(fields):
    return _parse_datatype_string(", ".join(f"`{name}` {kind}" for name, kind in fields))


def load(spark: SparkSession, dataset) -> int:
    reader = spark.read.schema(schema(dataset["schema"]))
    if dataset["format"] == "csv":
        reader = reader.option("header", "false")
    frame = reader.format(dataset["format"]).load(dataset["files"]) if dataset["files"] else spark.createDataFrame([], schema(dataset["schema"]))
    frame = frame.select([name for name in dataset["allowedFields"] if name in frame.columns]).cache()
    frame.createOrReplaceTempView(dataset["view"])
    rows = frame.count()
    say(progress={"kind": "datasetLoaded", "dataset": dataset["name"], "rows": rows})
    return rows


def execute(spark: SparkSession, segment) -> DataFrame:
    views = {table.name.lower() for table in spark.catalog.listTables()}
    for condition in segment["preConditions"]:
        view, minimum = condition["viewName"], condition["minRowCount"]
        if view.lower() not in views:
            raise QueryError(f"Precondition: there is no view {view}.")
        if spark.table(view).count() < minimum:
            raise QueryError(f"Precondition: view {view} has fewer than the required {minimum} rows.")
    frame = spark.sql(segment["data"])
    for post_filter in segment["postFilters"]:
        if post_filter["columnName"] not in frame.columns:
            raise QueryError(f"Post filter: the result has no column {post_filter['columnName']}.")
        frame = frame.filter(col(post_filter["columnName"]) >= post_filter["value"])
    return frame


def write(frame: DataFrame, output, folder: Path) -> int:
    declared = {field.name: field.dataType for field in schema(output["schema"]).fields}
    frame = frame.select([name for name in output["allowedFields"] if name in frame.columns])
    for field in frame.schema.fields:
        if declared.get(field.name) != field.dataType:
            raise QueryError(
                f"The result column {field.name} has type {field.dataType.simpleString()}, "
                f"but the schema of dataset {output['name']} says {declared.get(field.name)}."
            )
    frame = frame.coalesce(1).cache()
    frame.write.mode("overwrite").option("header", "true").format(output["format"]).save(str(folder / "output"))
    return frame.count()


def main(folder: Path) -> None:
    job = json.loads((folder / "job.json").read_text())
    spark = session()
    try:
        rows_read = sum(load(spark, dataset) for dataset in job["inputs"])
        frame = None
        for number, segment in enumerate(job["segments"], start=1):
            say(progress={"kind": "segmentStarted", "segment": number})
            try:
                frame = execute(spark, segment)
            except (QueryError, PySparkException) as error:
                say(progress={"kind": "segmentFailed", "segment": number, "reason": first_line(error)})
                raise
            say(progress={"kind": "segmentCompleted", "segment": number})
        say(rowsRead=rows_read, rowsWritten=write(frame, job["output"], folder))
    except (QueryError, PySparkException) as error:
        say(failed=first_line(error))


def first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]


main(Path(sys.argv[1]))
