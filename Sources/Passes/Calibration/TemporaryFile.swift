import Foundation

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A file without a name in the folder for temporary files: what is written is not this process's memory, and the system
/// takes it back when the process ends, however it ends.
final class TemporaryFile: Sendable {
  private let descriptor: Int32
  private let folder: String

  /// An empty file.
  ///
  /// - Throws: ``PassError`` when it cannot be made.
  init() throws {
    folder = NSTemporaryDirectory()
    var template = Array("\(folder)/compress-XXXXXX".utf8CString)
    descriptor = mkstemp(&template)
    guard descriptor >= 0 else {
      throw PassError("\(folder): cannot make a temporary file (\(String(cString: strerror(errno))))")
    }
    unlink(template)
  }

  deinit { close(descriptor) }

  /// Takes the room for `bytes` bytes, so that writing them cannot fail later.
  func reserve(_ bytes: Int) throws {
    guard posix_fallocate(descriptor, 0, off_t(bytes)) == 0 else { throw noRoom(bytes) }
  }

  /// Writes `bytes` at `offset`.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = pwrite(descriptor, base + done, bytes.count - done, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw noRoom(bytes.count) }
      done += count
    }
  }

  /// Reads bytes from `offset` on, as many as `target` has room for.
  ///
  /// - Throws: ``PassError`` when they are not there.
  func read(into target: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < target.count, let base = target.baseAddress {
      let count = pread(descriptor, base + done, target.count - done, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        throw PassError("\(folder): cannot read a temporary file (\(String(cString: strerror(errno))))")
      }
      done += count
    }
  }

  private func noRoom(_ bytes: Int) -> PassError {
    PassError(
      "\(folder): has no room for \(bytes) bytes of a temporary file; name another folder in TMPDIR, or keep "
        + "more in memory with --memory")
  }
}
