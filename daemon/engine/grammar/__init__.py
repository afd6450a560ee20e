"""What an answer must look like: grammars as llguidance reads them, and which tokens they let through."""
