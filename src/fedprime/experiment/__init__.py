"""From settings to objects: data, backbone, method, who holds what; and the folder of a run."""
