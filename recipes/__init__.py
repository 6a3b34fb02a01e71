"""Recipes that download or create a corpus and write its manifests, one module for each corpus.

python -m recipes.an4 root=data             # CMU AN4, 50 minutes: letters, digits, names
python -m recipes.librispeech parts=[...]   # LibriSpeech and Mini LibriSpeech: audiobooks
python -m recipes.speechcommands            # Speech Commands: one word in each clip
python -m recipes.speechocean762            # English sentences read by adults and children
python -m recipes.fsdd                      # Free Spoken Digit Dataset
python -m recipes.commonvoice archive=FILE  # Mozilla Common Voice, one language
python -m recipes.ljspeech                  # LJ Speech: audiobooks by one speaker
python -m recipes.vctk                      # VCTK: speakers with various accents
python -m recipes.kaldi train=FOLDER        # Kaldi data directories
python -m recipes.lhotse cuts=FILE          # manifests of lhotse
python -m recipes.hf dataset=NAME           # Hugging Face data sets
python -m recipes.english prose=[FILE]      # English of four corpora, tables, and synthesized prose
python -m recipes.synthetic hours=2         # sentences synthesized with eSpeak NG
python -m recipes.folder audio=FOLDER       # your own recordings

Four more recipes work on prepared text and audio: `lm` estimates a language model, `shard` packs a
corpus into tar files, `segment` cuts long utterances at pauses, and `words` cuts sentences into
single words. Run any of them with --help.
"""
