"""Reading files: archives, downloads, pictures, images that stay on disk."""
