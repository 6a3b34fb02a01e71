"""Corpora: one module a corpus, which fetches, verifies and unpacks it and writes its manifests.

python -m recipes.an4 root=data             # CMU AN4, 50 minutes: letters, digits, names
python -m recipes.librispeech parts=[...]   # LibriSpeech and Mini LibriSpeech
python -m recipes.speechcommands            # one spoken word a clip
python -m recipes.speechocean762            # read English, children and adults
python -m recipes.fsdd                      # spoken digits
python -m recipes.folder audio=FOLDER       # your own recordings
"""
