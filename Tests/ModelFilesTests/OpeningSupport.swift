import Foundation
import ModelFiles
import TensorCore
import TestSupport
import Testing

/// A folder that goes when the test ends.
final class ScratchFolder {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("compress-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Writes a file, with folders on the way to it, and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    let url = URL(fileURLWithPath: path).appendingPathComponent(name)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
    return url.path
  }

  @discardableResult
  func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }
}

/// The bytes that the fixtures' scripts fill tensors with.
func pattern(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: 7 * $0 + 13 * count) } }

func readBytes(_ path: String) throws -> [UInt8] { try copy(MappedFile(path: path).region) }

/// A copy of the region's bytes. (`Array(f().buffer)` would read memory that went with the temporary region.)
func copy(_ region: ByteRegion) -> [UInt8] { withExtendedLifetime(region) { Array(region.buffer) } }

extension StoredTensor {
  /// A copy of the tensor's bytes.
  func contents() throws -> [UInt8] { try copy(bytes.load()) }
}

func written(_ layout: ContainerLayout) throws -> [UInt8] {
  var sink = MemorySink()
  try layout.write(to: &sink)
  return sink.bytes
}

func tensor(_ name: String, _ shape: [Int], _ format: TensorFormat = .f32) -> StoredTensor {
  let rows = shape.dropLast().reduce(1, *)
  let count = rows * (format.byteCount(of: shape.last ?? 1) ?? 0)
  return StoredTensor(
    name: name, shape: shape, format: format, bytes: TensorBytes(ByteRegion(pattern(count))))
}

/// The ``ModelFileError`` that `body` throws; records an issue when it throws another or none.
func modelError(
  sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) -> ModelFileError? {
  do {
    try body()
    Issue.record("nothing was thrown", sourceLocation: sourceLocation)
  } catch let error as ModelFileError {
    #expect(!error.description.contains("\n"), sourceLocation: sourceLocation)
    return error
  } catch {
    Issue.record("thrown: \(error)", sourceLocation: sourceLocation)
  }
  return nil
}
