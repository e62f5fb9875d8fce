public import ArgumentParser
public import Passes

extension OutputContainer: ExpressibleByArgument {}
