#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Why a file could not be opened or mapped.
public struct FileError: Error, Equatable, CustomStringConvertible {
  /// The file's path as the caller gave it.
  public let path: String
  /// What was tried: "open", "read", "map" …
  public let operation: String
  /// The system's `errno`.
  public let code: Int32

  /// The failure `code` of `operation` on `path`.
  public init(path: String, operation: String, code: Int32) {
    self.path = path
    self.operation = operation
    self.code = code
  }

  /// The error that the last system call left in `errno`.
  public init(path: String, operation: String) { self.init(path: path, operation: operation, code: errno) }

  /// One line: what went wrong, and where.
  public var description: String { "\(path): cannot \(operation): \(reason)" }

  /// The system's words for the code: "Permission denied".
  public var reason: String {
    code == FileError.notRegular ? "it is no regular file" : String(cString: strerror(code))
  }

  /// The code for pipes, devices and sockets, which can be neither mapped nor read twice.
  public static let notRegular = EINVAL
}

/// A whole file mapped read-only.
public final class MappedFile: Sendable {
  /// The path it was opened by.
  public let path: String
  /// The whole file; keeps the mapping alive.
  public let region: ByteRegion

  /// Maps the regular file at `path`.
  ///
  /// - Throws: ``FileError`` when it is missing, unreadable, or no regular file.
  public init(path: String) throws(FileError) {
    // Opening a pipe would wait for somebody to write into it; O_NONBLOCK means nothing to regular files.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw FileError(path: path, operation: "open") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw FileError(path: path, operation: "stat") }
    guard status.st_mode & S_IFMT == S_IFREG else {
      let isFolder = status.st_mode & S_IFMT == S_IFDIR
      throw FileError(path: path, operation: "read", code: isFolder ? EISDIR : FileError.notRegular)
    }
    self.path = path
    let size = Int(status.st_size)
    guard size > 0 else {
      region = ByteRegion([])
      return
    }
    guard let memory = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0), memory != MAP_FAILED else {
      throw FileError(path: path, operation: "map")
    }
    let mapping = Mapping(memory: memory, size: size)
    region = ByteRegion(base: UnsafeRawPointer(memory), count: size, owner: mapping, isMapped: true)
  }

  private final class Mapping {
    let memory: UnsafeMutableRawPointer
    let size: Int
    init(memory: UnsafeMutableRawPointer, size: Int) {
      self.memory = memory
      self.size = size
    }
    deinit { munmap(memory, size) }
  }
}
