public import TensorCore

/// Reads safetensors files (https://github.com/huggingface/safetensors, "Format"): a length, a JSON header, the tensors.
public enum SafetensorsFile {
  /// The longest header that is read, as in the reference implementation.
  public static let headerLimit = 100_000_000

  /// Whether the bytes look like a safetensors file: a length that is not text, then a JSON object.
  ///
  /// Says yes to damaged files too, so that ``read(_:)`` can say what is wrong with them.
  public static func recognizes(_ wholeFile: UnsafeRawBufferPointer) -> Bool {
    guard wholeFile.count > 8, wholeFile[8] == UInt8(ascii: "{") else { return false }
    return !wholeFile[..<8].allSatisfy { (0x20..<0x7F).contains($0) || (0x09...0x0D).contains($0) }
  }

  /// Reads the header and checks it against the file; tensors share the mapped file's memory.
  ///
  /// - Throws: ``ModelFileError``.
  public static func read(_ file: MappedFile) throws -> ModelSource {
    let index = try index(of: file.region.buffer, fileSize: file.region.count, path: file.path)
    let tensors = index.tensors.map { entry in
      StoredTensor(
        name: entry.name, shape: entry.shape, format: entry.format,
        bytes: TensorBytes.aligned(file.region.slice(entry.range), to: entry.format))
    }
    var source = ModelSource(container: .safetensors, path: file.path, files: [file.path], tensors: tensors)
    source.textMetadata = index.textMetadata
    source.wholeFile = file.region
    return source
  }

  /// Where the tensors of a file of `fileSize` bytes lie; `prefix` is its start, at least the whole header.
  ///
  /// - Throws: ``ModelFileError`` unless the tensors fill the file exactly, without holes or overlaps.
  public static func index(
    of prefix: UnsafeRawBufferPointer, fileSize: Int, path: String
  ) throws -> ContainerIndex {
    let (header, dataOffset) = try header(of: prefix, fileSize: fileSize, path: path)
    var index = ContainerIndex(tensors: [], dataOffset: dataOffset)
    index.tensors.reserveCapacity(header.members.count)
    for (name, value) in header.members {
      if name == "__metadata__" {
        index.textMetadata = try textMetadata(value, path: path)
      } else {
        index.tensors.append(try entry(name, value, dataOffset: dataOffset, fileSize: fileSize, path: path))
      }
    }
    index.tensors.sort {
      ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound)
    }
    try checkContiguous(index, fileSize: fileSize, path: path)
    return index
  }

  private static func header(
    of prefix: UnsafeRawBufferPointer, fileSize: Int, path: String
  ) throws -> (header: JSONObject, dataOffset: Int) {
    guard prefix.count >= 8 else {
      throw ModelFileError(.truncated, path: path, "has \(fileSize) bytes, too few for a safetensors file")
    }
    let length = UInt64(littleEndian: prefix.loadUnaligned(as: UInt64.self))
    guard length <= headerLimit else {
      throw ModelFileError(
        .badStructure, path: path, "claims a header of \(length) bytes; safetensors allows \(headerLimit)")
    }
    let end = 8 + Int(length)
    guard end <= prefix.count else {
      throw ModelFileError(
        .truncated, path: path, "the header should end at byte \(end), the file has \(fileSize)",
        advice: ModelFileError.downloadAgain)
    }
    let bytes = UnsafeRawBufferPointer(rebasing: prefix[8..<end])
    guard bytes.first == UInt8(ascii: "{") else {
      throw ModelFileError(.badStructure, path: path, "the header does not start with '{'")
    }
    do {
      guard case .object(let header) = try JSONValue(parsing: bytes) else {
        throw ModelFileError(.badStructure, path: path, "the header is no JSON object")
      }
      return (header, end)
    } catch let error as JSONError {
      let isRepeat = error.isRepeatedKey
      throw ModelFileError(isRepeat ? .duplicate : .badStructure, path: path, "in the header, \(error)")
    }
  }

  private static func textMetadata(_ value: JSONValue, path: String) throws -> [String: String] {
    guard case .object(let object) = value else {
      throw ModelFileError(.badStructure, path: path, "__metadata__ is no JSON object")
    }
    var result: [String: String] = [:]
    for (key, value) in object.members {
      guard case .string(let text) = value else {
        throw ModelFileError(
          .badStructure, path: path, "__metadata__ has something other than a string at '\(key)'")
      }
      result[key] = text
    }
    return result
  }

  private static func entry(
    _ name: String, _ value: JSONValue, dataOffset: Int, fileSize: Int, path: String
  ) throws -> ContainerIndex.Entry {
    func failure(_ reason: ModelFileError.Reason, _ message: String) -> ModelFileError {
      ModelFileError(reason, path: path, "tensor '\(name)' \(message)")
    }
    guard case .string(let type) = value["dtype"] else { throw failure(.badStructure, "has no dtype") }
    guard let format = SafetensorsTypes.format(of: type) else {
      let known = SafetensorsTypes.unread.contains(type)
      throw failure(.unsupported, "has \(known ? "the unsupported" : "an unknown") dtype '\(type)'")
    }
    guard let sizes = value["shape"]?.arrayValue, case let shape = sizes.compactMap(\.sizeValue),
      shape.count == sizes.count
    else { throw failure(.badStructure, "has no shape of whole numbers") }
    guard let pair = value["data_offsets"]?.arrayValue, pair.count == 2, let start = pair[0].sizeValue,
      let end = pair[1].sizeValue, start <= end
    else { throw failure(.badStructure, "has no pair of rising data_offsets") }
    guard let count = StoredTensor.byteCount(shape: shape, format: format) else {
      throw failure(.badStructure, "has an impossible shape \(shape): its size overflows")
    }
    guard end - start == count else {
      throw failure(
        .badStructure,
        "is \(type) of shape \(shape), \(count) bytes, but its data_offsets span \(end - start)")
    }
    guard end <= fileSize - dataOffset else {
      throw ModelFileError(
        .truncated, path: path,
        "tensor '\(name)' ends at byte \(end) of the data, the file has \(fileSize - dataOffset)",
        advice: ModelFileError.downloadAgain)
    }
    return .init(name: name, shape: shape, format: format, range: dataOffset + start..<dataOffset + end)
  }

  private static func checkContiguous(_ index: ContainerIndex, fileSize: Int, path: String) throws {
    var end = index.dataOffset
    for tensor in index.tensors {
      guard tensor.range.lowerBound == end else {
        let kind = tensor.range.lowerBound < end ? "overlaps the tensor before it" : "leaves a hole before it"
        throw ModelFileError(
          .badStructure, path: path,
          "tensor '\(tensor.name)' \(kind): it starts at byte \(tensor.range.lowerBound - index.dataOffset) of the data, "
            + "expected \(end - index.dataOffset)")
      }
      end = tensor.range.upperBound
    }
    guard end == fileSize else {
      throw ModelFileError(
        .badStructure, path: path, "the tensors end at byte \(end), but the file has \(fileSize)",
        advice: ModelFileError.downloadAgain)
    }
    var names: Set<String> = []
    for tensor in index.tensors where !names.insert(tensor.name).inserted {
      throw ModelFileError(.duplicate, path: path, "tensor '\(tensor.name)' appears twice")
    }
  }
}

extension JSONValue {
  /// A size or an offset: a whole number that is not negative.
  fileprivate var sizeValue: Int? { if case .integer(let value) = self, value >= 0 { value } else { nil } }
}
