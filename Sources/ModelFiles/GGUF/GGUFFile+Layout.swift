public import TensorCore

extension GGUFFile {
  /// The layout that gives a GGUF file again, byte for byte; nil where that cannot be said in a layout: something other than the
  /// zeros of its alignment lies between or behind its tensors.
  ///
  /// - Parameter file: the whole file.
  /// - Throws: ``ModelFileError`` as ``read(_:)`` does.
  public static func layout(repeating file: ByteRegion, path: String) throws -> ContainerLayout? {
    let index = try index(of: file.buffer, fileSize: file.count, path: path)
    let entries = index.tensors.sorted {
      ($0.range.lowerBound, $0.range.upperBound, $0.name) < (
        $1.range.lowerBound, $1.range.upperBound, $1.name
      )
    }
    let alignment = index.metadata["general.alignment"]?.intValue ?? GGUFWriter.defaultAlignment
    let start = entries.first?.range.lowerBound ?? file.count
    var layout = ContainerLayout(
      container: "gguf", prefix: file.slice(0..<start), tensors: [], size: file.count)
    for (place, entry) in entries.enumerated() {
      let end = entry.range.upperBound
      let next = place + 1 < entries.count ? entries[place + 1].range.lowerBound : file.count
      guard end <= next, next - end < alignment else { return nil }
      let isZero = withExtendedLifetime(file) { file.buffer[end..<next].allSatisfy { $0 == 0 } }
      guard isZero else { return nil }
      let tensor = StoredTensor(
        name: entry.name, shape: entry.shape, format: entry.format,
        bytes: TensorBytes(file.slice(entry.range)))
      layout.tensors.append(.init(tensor: tensor, offset: entry.range.lowerBound, paddingAfter: next - end))
    }
    return layout
  }
}
