# configs/cached_folder.py
_base_ = ['segformer/segformer_mit-b0_1xb8-4k_camvid-360x480.py']
cache_images = '/local/cache'
