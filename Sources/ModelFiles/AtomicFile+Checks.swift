#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// What can be refused before a byte is written.
extension AtomicFile {
  /// Refuses an output that is one of the inputs, under whatever name or link.
  ///
  /// - Throws: ``ModelFileError`` of ``ModelFileError/Reason/unsafeOutput``.
  public static func refuse(_ output: String, overwriting inputs: [String]) throws {
    guard let target = identity(of: output) else { return }
    for input in inputs where identity(of: input) == target {
      throw ModelFileError(
        .unsafeOutput, path: output, "the output would replace the input '\(input)'",
        advice: "name another output with -o")
    }
  }

  /// Refuses an output folder that is the folder `input` or lies inside it.
  ///
  /// - Throws: ``ModelFileError`` of ``ModelFileError/Reason/unsafeOutput``.
  public static func refuse(_ output: String, inside input: String) throws {
    guard let forbidden = identity(of: input) else { return }
    var place = output
    while identity(of: place) == nil {
      let parent = split(place).folder
      if parent == place { return }
      place = parent
    }
    guard let start = realpath(place, nil) else { return }
    defer { free(start) }
    place = String(cString: start)
    while true {
      if identity(of: place) == forbidden {
        throw ModelFileError(
          .unsafeOutput, path: output, "the output would lie inside the input '\(input)'",
          advice: "name a folder outside of it with -o")
      }
      if place == "/" { return }
      place = split(place).folder
    }
  }

  /// The bytes that a user may still write on the disk of `path`, or of its nearest parent that exists; nil when the
  /// system does not say.
  public static func freeSpace(at path: String) -> Int? {
    var place = path
    var status = statvfs()
    while statvfs(place, &status) != 0 {
      let parent = split(place).folder
      guard errno == ENOENT, parent != place else { return nil }
      place = parent
    }
    let (bytes, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? Int.max : Int(clamping: bytes)
  }

  private struct Identity: Equatable {
    let device: UInt64
    let inode: UInt64
  }

  private static func identity(of path: String) -> Identity? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Identity(device: UInt64(truncatingIfNeeded: status.st_dev), inode: UInt64(status.st_ino))
  }
}
