"""What the Kerchunk JSON and Kerchunk Parquet formats share; a library, no plugin."""
