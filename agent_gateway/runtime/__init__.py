"""The processes: what one worker is made of, and who watches over several."""
