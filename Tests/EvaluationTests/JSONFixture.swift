import ModelFiles
import TensorCore
import TestSupport

/// A JSON document of this target's Fixtures folder.
func jsonFixture(_ name: String) throws -> JSONValue {
  let file = try MappedFile(path: fixture(name))
  return try JSONValue(parsing: file.region.buffer)
}
