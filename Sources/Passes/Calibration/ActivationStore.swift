import Foundation
import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Activations of all calibration tokens: in memory, or in a mapped file without a name where that is too much.
final class ActivationStore: @unchecked Sendable {
  /// The first element.
  let base: UnsafeMutablePointer<Float>
  private let bytes: Int
  private let isMapped: Bool

  /// Room for `count` numbers.
  ///
  /// - Parameter limit: the bytes that may be taken from memory; more go to a file in the folder for temporary files.
  /// - Throws: ``PassError`` when the file cannot be made.
  init(count: Int, limit: Int?) throws {
    let bytes = max(count, 1) * MemoryLayout<Float>.stride
    self.bytes = bytes
    isMapped = limit.map { bytes > $0 } ?? false
    let memory =
      isMapped
      ? try ActivationStore.map(bytes) : UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    base = memory.bindMemory(to: Float.self, capacity: max(count, 1))
  }

  deinit {
    if isMapped { munmap(base, bytes) } else { UnsafeMutableRawPointer(base).deallocate() }
  }

  private static func map(_ bytes: Int) throws -> UnsafeMutableRawPointer {
    let folder = NSTemporaryDirectory()
    var template = Array("\(folder)/compress-activations-XXXXXX".utf8CString)
    let file = mkstemp(&template)
    guard file >= 0 else {
      throw PassError("\(folder): cannot make a file for activations (\(String(cString: strerror(errno))))")
    }
    defer { close(file) }
    unlink(template)
    guard posix_fallocate(file, 0, off_t(bytes)) == 0,
      let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0), memory != MAP_FAILED
    else { throw PassError("\(folder): has no room for \(bytes) bytes of activations; raise --memory") }
    return memory
  }
}
