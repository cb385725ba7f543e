def export(s, o, a):
    return []
